"""`asyncwds mix`: samples of several sources, each with its share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options


@click.command()
@input_options
@selection_options
@click.option(
    "--weight", "weights", type=float, multiple=True, metavar="W", help="Of each SHARD pattern, in order; 1 if not given."
)
@click.option("--stop", type=click.Choice(["all", "first", "longest"]), default="all", show_default=True, help="When it ends.")
@shard_options
@output_options
def mix(urls: tuple[str, ...], *, weights: tuple[float, ...], stop: Any, **options: Any) -> int:
    """Draws samples from several sources: each SHARD pattern is one, or a .toml, .yaml or .json file lists them with weights.

    \b
    asyncwds mix 'a-{00..09}.tar' 'b-{00..99}.tar' --weight 3 --weight 1 --max-count 1000 -o 'mix-{shard:06d}.tar'
    asyncwds mix sources.toml --stop longest --max-size 1GB -o 'mix-{shard:06d}.tar'
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
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
    chosen = replace(selection_of(options), limit=None)
    if chosen.slice is not None:
        raise click.UsageError("--slice counts samples of all shards, and here those of several sources come in turn")
    if not chosen.is_everything:
        if not all(source.selection.is_everything for source in sources):
            raise click.UsageError("the file says which samples")
        sources = [replace(source, selection=chosen) for source in sources]
    how: dict[str, Any] = {"stop": stop, "seed": options["seed"], "limit": options["limit"]}
    return show_report(mix_shards(inputs, sources, outputs_of(inputs, options), **how), options)
