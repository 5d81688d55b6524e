"""`asyncwds mix`: samples of several sources, each with its share."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.tool_options import input_options, output_options, shard_options


@click.command()
@input_options
@click.option(
    "--weight", "weights", type=float, multiple=True, metavar="W", help="Of each SHARD pattern, in order; 1 if not given."
)
@click.option("--stop", type=click.Choice(["all", "first", "longest"]), default="all", show_default=True, help="When it ends.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order.")
@shard_options
@output_options
def mix(urls: tuple[str, ...], *, weights: tuple[float, ...], stop: Any, seed: int, **options: Any) -> int:
    """Draws samples from several sources: each SHARD pattern is one, or a .toml, .yaml or .json file lists them with weights.

    \b
    asyncwds mix 'a-{00..09}.tar' 'b-{00..99}.tar' --weight 3 --weight 1 --max-count 1000 -o 'mix-{shard:06d}.tar'
    asyncwds mix sources.toml --stop longest --max-size 1GB -o 'mix-{shard:06d}.tar'
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.mix import MixSource, load_sources, mix_shards  # noqa: PLC0415 - as above

    if len(urls) == 1 and urls[0].endswith((".toml", ".yaml", ".yml", ".json")):
        if weights:
            raise click.UsageError("the file has the weights")
        sources = load_sources(urls[0])
    else:
        if weights and len(weights) != len(urls):
            raise click.UsageError(f"{len(urls)} sources have {len(weights)} weights")
        sources = [MixSource(urls=[url], weight=weight) for url, weight in zip(urls, weights or [1.0] * len(urls), strict=True)]
    inputs = inputs_of(tuple(url for source in sources for url in source.urls), "mix", options)
    return show_report(mix_shards(inputs, sources, outputs_of(inputs, options), stop=stop, seed=seed), options)
