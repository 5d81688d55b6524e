"""`asyncwds sort`: all samples in the order of a value."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options


@click.command()
@input_options
@selection_options
@click.option("--by", default="key", show_default=True, metavar="EXPR", help="'json.width', 'size(jpg)'. Without it: last.")
@click.option("--as", "kind", type=click.Choice(["str", "int", "float"]), default="str", show_default=True, help="How to compare.")
@click.option("--reverse", is_flag=True, help="The greatest first.")
@click.option("--regroup", is_flag=True, help="Bring members of one key together that stand apart.")
@click.option("--tmp", "folder", type=click.Path(file_okay=False), help="Folder for what is kept meanwhile.")
@shard_options
@partial(output_options, same_key="number")
def sort(urls: tuple[str, ...], *, by: str, kind: Any, reverse: bool, regroup: bool, folder: str | None, **options: Any) -> int:
    """Copies samples in the order of a value; those with the same one keep their order, and none is lost.

    It takes --memory at a time, and files in --tmp for what does not come from local shards.

    \b
    asyncwds sort 'train-{000..099}.tar' --by json.width --as int -o 'sorted-{shard:06d}.tar' --max-count 1000
    asyncwds sort scattered.tar --regroup -o whole.tar
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.sort import sort_samples  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "sort", options)
    settings = {"by": by, "kind": kind, "reverse": reverse, "regroup": regroup, "folder": folder}
    return show_report(sort_samples(inputs, outputs_of(inputs, options), selection_of(options), **settings), options)
