"""`asyncwds cat`: samples of many shards into one archive, or several."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options


@click.command()
@input_options
@selection_options
@click.option("--mix", type=click.IntRange(min=1), metavar="N", help="Read N shards at once, a sample of each in turn.")
@click.option("--rekey", metavar="RULE", help="New keys: '{index:09d}', '{shard}/{key}', 's/old/new/'.")
@shard_options
@output_options
def cat(urls: tuple[str, ...], *, rekey: str | None, **options: Any) -> int:
    """Copies the samples of shards, in order, to one shard or several. Members are copied byte for byte.

    \b
    asyncwds cat 'train-{000..099}.tar' --fields 'jpg;png,cls' -o small.tar
    asyncwds cat 's3://b/*.tar' --mix 8 --rekey '{index:09d}' --max-count 1000 -o 'out-{shard:06d}.tar'
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.cat import cat_shards  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "cat", options)
    return show_report(cat_shards(inputs, outputs_of(inputs, options), selection_of(options), rekey=rekey), options)
