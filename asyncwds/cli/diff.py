"""`asyncwds diff`: what differs between two data sets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.options import LOCATION, SIZE, reading_options
from asyncwds.formatting.texts import escape

if TYPE_CHECKING:
    from asyncwds.tools.diff import Difference

_READING = {"on_error": "fail", "max_errors": None, "part": None}


@click.command()
@click.argument("before", type=LOCATION, metavar="A")
@click.argument("after", type=LOCATION, metavar="B")
@click.option("--io", type=click.IntRange(min=1), help="Requests in flight; found automatically if not given.")
@click.option("--memory", type=SIZE, default="256MiB", show_default=True, help="What is read ahead takes no more.")
@click.option("--temporary", type=LOCATION, metavar="FOLDER", help="For what is known of the samples: some 100 bytes of each.")
@click.option("-s", "--summary", is_flag=True, help="Only the totals.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each difference, then one with the totals.")
@reading_options
def diff(before: str, after: str, *, temporary: str | None, summary: bool, as_json: bool, **options: Any) -> int:
    """Compares two data sets by key and bytes of fields, whatever their order and shards. Ends with 2 if they differ.

    \b
    asyncwds diff 'old-{000..099}.tar' 'new-{000..049}.tar'
    asyncwds diff s3://bucket/v1/ s3://bucket/v2/ --json
    """
    from asyncwds.cli.tool_arguments import inputs_of  # noqa: PLC0415 - heavy
    from asyncwds.errors import redact  # noqa: PLC0415 - used here only
    from asyncwds.tools.diff import diff_shards  # noqa: PLC0415 - as above
    from asyncwds.tools.report import DATA, OK  # noqa: PLC0415 - as above

    old, new = (inputs_of((url,), "diff", {**options, **_READING}) for url in (before, after))
    comparison = diff_shards(old, new, temporary=temporary)
    for difference in comparison:
        if not summary:
            as_dict = difference._asdict() | {"url": redact(difference.url)}
            click.echo(json.dumps(as_dict) if as_json else _line(difference))
    counts = {kind: comparison.counts[kind] for kind in ("same", "added", "removed", "changed")}
    click.echo(json.dumps(counts) if as_json else ", ".join(f"{number} {kind}" for kind, number in counts.items()))
    return OK if comparison.counts.total() == counts["same"] else DATA


def _line(difference: Difference) -> str:
    sign = {"added": "+", "removed": "-", "changed": "~"}[difference.kind]
    fields = [f"{name}: {_size(old)} -> {_size(new)}" for name, (old, new) in difference.fields.items()]
    shown = fields if difference.kind == "changed" else difference.fields
    return "\t".join([f"{sign} {escape(difference.key)}", *map(escape, shown)])


def _size(nbytes: int | None) -> str:
    return "none" if nbytes is None else str(nbytes)
