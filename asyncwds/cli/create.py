"""`asyncwds create`: shards of folders, archives, recipes and tables."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.options import LOCATION, log_option
from asyncwds.cli.tool_options import output_options, shard_options

# As asyncwds.tools.creating.sources has them, which is heavy.
KINDS = ["dir", "images", "zip", "tar", "recipe", "csv", "tsv", "jsonl", "lines", "parquet", "arrow", "hf"]


@click.command()
@click.argument("source", type=LOCATION)
@click.option("--from", "kind", type=click.Choice(KINDS), help="What SOURCE is; found by its name if not given.")
@click.option("--key-from", metavar="RULE", help="Of files 'path', 'stem' or 're:PATTERN'; of rows 'col:NAME' or '{index:09d}'.")
@click.option("--dots", type=click.Choice(["first", "last"]), default="first", show_default=True, help="Which one ends a key.")
@click.option("--group-by", metavar="RULE", help="Files that belong together: 'dirname', 'parent', 're:PATTERN'.")
@click.option("--cls-from", metavar="RULE", help="The class of a sample, likewise: the field cls gets its number.")
@click.option("--broadcast", metavar="GLOB", multiple=True, help="Files that become fields of all samples of their group.")
@click.option("--window", type=click.IntRange(min=1), default=1, metavar="N", help="N samples of a group become one.")
@click.option("--stride", type=click.IntRange(min=1), default=1, metavar="M", help="The next window begins M samples later.")
@click.option("--shard-per-group", is_flag=True, help="Each group has a shard of its own.")
@click.option("--field", "fields", metavar="NAME=COLUMN", multiple=True, help="Of rows; '@COLUMN' is the file that it names.")
@click.option("--columns", metavar="NAMES", help="Of rows: only these, with commas between.")
@click.option("--require", metavar="NAMES", help="Fields that each sample has: 'jpg;png,txt'.")
@click.option("--missing", type=click.Choice(["fail", "warn", "drop"]), default="fail", show_default=True, help="Of others.")
@click.option("--duplicates", type=click.Choice(["fail", "rename", "drop"]), default="fail", show_default=True, help="Of keys.")
@click.option("--shuffle", is_flag=True, help="In a random order.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of that order.")
@click.option("-n", "--limit", type=click.IntRange(min=0), help="End after so many samples.")
@click.option(
    "--on-error", type=click.Choice(["fail", "skip", "stop"]), default="fail", show_default=True, help="Of what cannot be read."
)
@click.option("--max-errors", type=click.IntRange(min=0), help="With --on-error skip: fail after so many.")
@click.option("--name", metavar="NAME", help="Of a configuration, with --from hf.")
@click.option("--split", default="train", show_default=True, metavar="NAME", help="With --from hf.")
@shard_options
@output_options
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Read and encode in N processes."
)
@log_option
def create(source: str, jobs: int, **options: Any) -> int:
    """Writes shards of what is no shard yet: SOURCE is a folder, an archive, a recipe, a table, or a data set's name.

    \b
    asyncwds create ./data --from images --shuffle --seed 1 --max-count 1000 -o 'train-{shard:06d}.tar'
    asyncwds create captions.csv --key-from col:id --field jpg=@path --field txt=caption -o train.tar
    """
    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.cli.tool_arguments import names_of, outputs_of, pairs_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.create import Creation, create_shards  # noqa: PLC0415 - as above
    from asyncwds.tools.inputs import Inputs  # noqa: PLC0415 - as above

    same = (
        "kind", "key_from", "dots", "group_by", "cls_from", "broadcast", "window", "stride", "missing", "duplicates", "shuffle",
        "seed", "limit", "on_error", "max_errors", "name", "split",
    )  # fmt: skip
    creation = Creation(
        fields=pairs_of("--field", options["fields"]),
        columns=names_of(options["columns"]),
        require=names_of(options["require"]),
        by_group=options["shard_per_group"],
        **{name: options[name] for name in same},
    )
    with show_progress("create", "samples") as display:
        outputs = outputs_of(Inputs(urls=()), options)
        report = create_shards(source, outputs, creation, lambda _: display.advance(), jobs=jobs)
    return show_report(report, options)
