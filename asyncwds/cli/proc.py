"""`asyncwds proc`: a command of the shell for each sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options


@click.command()
@input_options
@selection_options
@click.option("-c", "--command", metavar="COMMAND", help="It finds files sample.jpg, …, and what it leaves is the sample.")
@click.option("-s", "--script", type=click.Path(dir_okay=False, path_type=Path), help="A file of commands instead.")
@click.option("--interpreter", default="bash", show_default=True, help="Of the script.")
@click.option("--base", default="sample", show_default=True, help="Of the names of files.")
@click.option("--multi", is_flag=True, help="It leaves files sample-NAME.jpg: a sample for each name.")
@click.option("--stdin", metavar="FIELD", help="It gets this field on its standard input, and no files.")
@click.option("--stdout", metavar="FIELD", help="What it writes to standard output becomes this field.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="It is ended after so long.")
@click.option("--log-field", metavar="FIELD", help="What it says becomes this field.")
@click.option("--env", "environment", metavar="NAME=VALUE", multiple=True, help="A variable; WDS_KEY and WDS_SHARD are there.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="So many at a time.")
@click.option("--lines", is_flag=True, help="SHARD are text files, or '-': each line is a sample, with txt.")
@click.option("--unordered", is_flag=True, help="Samples come out as they are done.")
@shard_options
@output_options
def proc(urls: tuple[str, ...], *, command: str | None, script: Path | None, **options: Any) -> int:
    """Runs a command for each sample, and writes what it leaves: a sample, none, or with --multi several.

    \b
    asyncwds proc 'in-{00..99}.tar' -c 'convert sample.jpg -resize 256x256 sample.jpg' --jobs 8 -o out.tar
    asyncwds proc urls.txt --lines -c 'curl -sfL "$(cat sample.txt)" -o sample.jpg' --jobs 16 -o out.tar
    asyncwds proc in.tar --stdin jpg --stdout thumb.jpg -c 'magick - -resize 64x64 jpg:-' -o out.tar
    """
    import shlex  # noqa: PLC0415 - used here only

    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, pairs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.proc import proc_samples  # noqa: PLC0415 - as above
    from asyncwds.tools.processing.command import Command  # noqa: PLC0415 - as above

    if (command is None) == (script is None):
        raise click.UsageError("either --command or --script says what to run")
    text = command or f"{options['interpreter']} {shlex.quote(str(script.resolve()))}"  # type: ignore[union-attr] # one is there
    described = Command(
        text,
        many=options["multi"],
        environment=pairs_of("--env", options["environment"]),
        **{name: options[name] for name in ("base", "stdin", "stdout", "timeout", "log_field")},
    )
    inputs = inputs_of(urls, "proc", options)
    running = {"jobs": options["jobs"], "ordered": not options["unordered"], "lines": options["lines"]}
    return show_report(proc_samples(inputs, outputs_of(inputs, options), described, selection_of(options), **running), options)
