"""`asyncwds join`: fields of other shards, or columns of a table, added by key."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.options import LOCATION
from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options


@click.command()
@input_options
@click.option(
    "--with", "other", type=LOCATION, metavar="SHARD|TABLE", multiple=True, required=True, help="What is added; several shards."
)
@click.option("--with-from", "kind", metavar="KIND", help="'shards', 'csv', 'jsonl', 'parquet', …; found by its name if not given.")
@click.option("--with-on", "other_on", metavar="COLUMN", help="Its key; the name that --on ends with if not given.")
@click.option("--columns", metavar="NAMES", help="Only these columns, or fields, with commas between.")
@click.option("--field", "fields", metavar="NAME=COLUMN", multiple=True, help="A column, or a field, under another name.")
@click.option("--how", type=click.Choice(["inner", "left"]), default="inner", show_default=True, help="'left' keeps all samples.")
@click.option("--conflict", type=click.Choice(["fail", "left", "right"]), default="fail", show_default=True, help="Of a field.")
@selection_options
@shard_options
@output_options
def join(urls: tuple[str, ...], *, other: tuple[str, ...], **options: Any) -> int:
    """Adds to each sample what another set of shards, or a table, has for its key.

    \b
    asyncwds join '{00000..00999}.tar' --with captions.parquet --columns caption -o 'new-{shard:05d}.tar' --max-count 10000
    asyncwds join images.tar --with masks.tar --how left -o both.tar
    """
    from asyncwds.cli.tool_arguments import inputs_of, names_of, outputs_of, pairs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.join import join_shards  # noqa: PLC0415 - as above
    from asyncwds.tools.joining.sides import OtherSide  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "join", options)
    side = OtherSide(
        urls=other,
        kind=options["kind"],
        on=options["other_on"] or options["on"].rpartition(".")[2],
        fields=pairs_of("--field", options["fields"] or ()),
        columns=names_of(options["columns"]),
    )
    how = {name: options[name] for name in ("on", "how", "conflict")}
    return show_report(join_shards(inputs, side, outputs_of(inputs, options), selection_of(options), **how), options)
