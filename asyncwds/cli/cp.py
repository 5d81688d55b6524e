"""`asyncwds cp`: shards from one store to another."""

from __future__ import annotations

import json
from typing import Any

import click

from asyncwds.cli.options import LOCATION
from asyncwds.cli.tool_options import input_options
from asyncwds.formatting.texts import plural, printable, size


@click.command("cp")
@input_options
@click.argument("target", type=LOCATION)
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=4, show_default=True, help="Shards at a time.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--resume", is_flag=True, help="Leave what is there with the same bytes, replace others.")
@click.option("--verify", is_flag=True, help="Read each copy again, and compare.")
@click.option("--unpack", is_flag=True, help="Write the fields of samples as files into the folder TARGET instead.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be written.")
@click.option("--json", "as_json", is_flag=True, help="The report as a line of JSON.")
def copy_shards(urls: tuple[str, ...], target: str, *, unpack: bool, as_json: bool, **options: Any) -> int:
    """Copies shards to TARGET: a folder or prefix with a slash at the end, a pattern with {shard} or {name}, or one file.

    \b
    asyncwds cp 'gs://a/train-{000..099}.tar' s3://b/train/ --jobs 8 --verify
    asyncwds cp 's3://b/*.tar' ./local/ --resume
    """
    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.cli.json_log import current_log, tell  # noqa: PLC0415 - as above
    from asyncwds.cli.tool_arguments import inputs_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.cp import copy_shards  # noqa: PLC0415 - as above
    from asyncwds.tools.export import export_samples  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "cp", options)
    if unpack:
        report = export_samples(inputs, target, format="files", force=options["force"])
        return show_report(report, {"target": target, "as_json": as_json})
    how = {name: options[name] for name in ("jobs", "force", "resume", "verify", "dry_run")}
    with show_progress("cp", "shards") as display:
        copied = copy_shards(inputs, target, **how, show=lambda _: display.advance())
    if (log := current_log()) is not None:
        log.write("summary", **copied.as_dict())
    if as_json:
        click.echo(json.dumps(copied.as_dict()))
    else:
        nbytes = sum(shard["bytes"] or 0 for shard in copied.shards)
        done = "would be copied" if options["dry_run"] else f"copied, {size(nbytes)}"
        tell(f"{plural(len(copied.shards), 'shard')} {done}; {len(copied.there)} were there")
        for failure in copied.failed:
            tell(f"  failed: {printable(failure)}")
    return 4 if copied.failed else 0
