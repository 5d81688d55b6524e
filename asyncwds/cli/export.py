"""`asyncwds export`: fields of samples as tables, lines of JSON, or files."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.options import LOCATION
from asyncwds.cli.tool_options import input_options, jobs_option, selection_options


@click.command()
@input_options
@selection_options
@click.option(
    "-o", "--output", "target", required=True, type=LOCATION, metavar="TARGET", help="A file, '-', a URL; with -f files a folder."
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "tsv", "parquet", "arrow", "files"]),
    help="Found by the end of TARGET if not given.",
)
@click.option("--flatten", metavar="NAMES", help="JSON fields whose values become columns: 'json'.")
@click.option("--binary", type=click.Choice(["base64", "bytes", "skip"]), help="Fields that are neither text nor JSON.")
@jobs_option
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be written.")
@click.option("--json", "as_json", is_flag=True, help="The report as a line of JSON.")
def export(urls: tuple[str, ...], *, target: str, form: str | None, flatten: str | None, **options: Any) -> int:
    """Writes a row for each sample, with its key and its fields; or a file for each field.

    \b
    asyncwds export 'train-{000..099}.tar' --fields json,txt --flatten json -o train.parquet
    asyncwds export 'train-{000..099}.tar' --fields json --flatten json --jobs 8 -o 'tables/{name}.parquet'
    asyncwds export train.tar -n 100 -f files -o ./samples
    """
    from asyncwds.cli.tool_arguments import inputs_of, names_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.export import export_samples  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "export", options)
    how: dict[str, Any] = {name: options[name] for name in ("binary", "force", "jobs", "dry_run")}
    report = export_samples(inputs, target, selection_of(options), format=form, flatten=names_of(flatten), **how)
    return show_report(report, {**options, "target": target})
