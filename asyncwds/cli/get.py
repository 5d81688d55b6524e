"""`asyncwds get`: one sample, or a field of it."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.options import LOCATION
from asyncwds.cli.tool_options import input_options
from asyncwds.formatting.texts import escape, printable, size


@click.command()
@input_options
@click.argument("wanted", metavar="KEY[.FIELD]")
@click.option(
    "-o", "--output", "target", type=LOCATION, metavar="TARGET", help="A file, a URL, or '-', where a field goes by default."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def get(urls: tuple[str, ...], *, wanted: str, target: str | None, force: bool, **options: Any) -> int:
    """Writes a field of the sample with this key or #NUMBER; without FIELD the sample as a shard, or lists what it has.

    \b
    asyncwds get 'train-{000..099}.tar' n01440764/10026.jpg -o image.jpg
    asyncwds get s3://bucket/train-000000.tar '#17.json'
    asyncwds get s3://bucket/train-000000.tar '#17' -o sample.tar
    """
    from asyncwds.cli.tool_arguments import inputs_of  # noqa: PLC0415 - heavy
    from asyncwds.errors import NoSuchSampleError, SpecError  # noqa: PLC0415 - as above
    from asyncwds.tools.get import get_sample, pack_sample, split_wanted  # noqa: PLC0415 - as above
    from asyncwds.tools.targets import exists, write_target  # noqa: PLC0415 - as above

    key, field = split_wanted(wanted)
    inputs = inputs_of(urls, "get", options)
    if target is not None and not force and exists(target, inputs.access):
        raise SpecError("there is such a file already; --force replaces it", url=target)
    sample = get_sample(inputs, key)
    fields = {name: value for name, value in sample.items() if isinstance(value, bytes)}
    if field is None and target is None:
        click.echo("\t".join([escape(sample["__key__"]), *[f"{escape(name)}:{len(value)}" for name, value in fields.items()]]))
        return 0
    if field is not None and field not in fields:
        known = ", ".join(f"{name} ({size(len(value))})" for name, value in fields.items())
        raise NoSuchSampleError(printable(f"the sample has no field {field}, but {known}"), key=sample["__key__"])
    write_target(target or "-", pack_sample(sample) if field is None else fields[field], inputs.access)
    return 0
