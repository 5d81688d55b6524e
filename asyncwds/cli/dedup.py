"""`asyncwds dedup`: one of samples that are the same."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.options import LOCATION
from asyncwds.cli.tool_options import input_options, jobs_option, output_options, selection_options, shard_options


@click.command()
@input_options
@selection_options
@click.option(
    "--by",
    default="key",
    show_default=True,
    metavar="EXPR",
    help="What makes two the same: 'sha256(jpg)', 'json.uid', 'phash(jpg,<=4)'.",
)
@click.option("--keep", type=click.Choice(["first", "largest"]), default="first", show_default=True, help="Of those.")
@click.option(
    "--drop-list", type=LOCATION, metavar="FILE", help="Write the keys that are dropped, a line each, for --exclude-keys."
)
@click.option(
    "--report", "listing", type=LOCATION, metavar="FILE", help="Write what is dropped for what, a line of JSON for each sample."
)
@jobs_option
@shard_options
@output_options
def dedup(urls: tuple[str, ...], *, by: str, keep: Any, drop_list: str | None, listing: str | None, **options: Any) -> int:
    """Copies samples without those of which another one is kept. Reads them twice.

    \b
    asyncwds dedup 'train-{000..099}.tar' --by 'sha256(jpg)' --max-count 1000 -o 'unique-{shard:06d}.tar'
    asyncwds dedup 'train-{000..099}.tar' --by json.uid --keep largest --drop-list twice.txt --dry-run
    asyncwds dedup 'train-{000..099}.tar' --by 'phash(jpg,<=4)' --jobs 8 --keep largest --drop-list alike.txt --dry-run
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.dedup import dedup_shards  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "dedup", options)
    outputs, selection = outputs_of(inputs, options), selection_of(options)
    how: dict[str, Any] = {"by": by, "keep": keep, "drop_list": drop_list, "listing": listing, "jobs": options["jobs"]}
    return show_report(dedup_shards(inputs, outputs, selection, **how), options)
