"""`asyncwds map`: a Python function for each sample."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options


@click.command("map")
@input_options
@partial(selection_options, py="--where-py")
@click.option("--py", "function", required=True, metavar="MODULE:FUNCTION", help="Or file.py:function; a coroutine function too.")
@click.option(
    "--workers",
    type=click.Choice(["thread", "process", "async"]),
    help="Where it runs; processes if each shard has its own output. async: it is a coroutine function.",
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="So many at a time.")
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="It gets a list of N samples, and returns a list.")
@click.option("--devices", metavar="NAMES", help="It gets one of these as `device`, in turn: 'cuda:0,cuda:1'.")
@shard_options
@output_options
def map_samples(urls: tuple[str, ...], *, function: str, devices: str | None, **options: Any) -> int:
    """Calls a function for each sample, and writes what it returns: a sample, None, or several.

    It gets a dict of __key__, __url__ and the bytes of each field; values that it returns are encoded by the names of fields.

    \b
    asyncwds map 'in-{00..99}.tar' --py mypackage.captions:caption --jobs 4 -o 'out/{name}.tar'
    asyncwds map in.tar --py model.py:embed --batch 64 --devices cuda:0,cuda:1 --jobs 2 -o out.tar
    """
    from asyncwds.cli.tool_arguments import inputs_of, names_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.map import map_samples  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "map", options)
    running = {name: options[name] for name in ("workers", "jobs", "batch")}
    outputs = outputs_of(inputs, options)
    return show_report(map_samples(inputs, outputs, function, selection_of(options), devices=names_of(devices), **running), options)
