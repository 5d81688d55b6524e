"""`asyncwds shuffle`: all samples in a random order."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options


@click.command()
@input_options
@selection_options
@click.option("--buffer", type=click.IntRange(min=1), metavar="N", help="Mix N samples as they come, instead of all.")
@click.option("--tmp", "folder", type=click.Path(file_okay=False), help="Folder for what is kept meanwhile.")
@shard_options
@output_options
def shuffle(urls: tuple[str, ...], *, buffer: int | None, folder: str | None, **options: Any) -> int:
    """Copies samples in a random order of all of them, which --seed and the inputs determine.

    It takes --memory at a time, and files in --tmp for what does not come from local shards.

    \b
    asyncwds shuffle 'train-{000..099}.tar' --seed 7 --max-count 1000 -o 'mixed-{shard:06d}.tar'
    asyncwds shuffle gs://bucket/file.tar --seed 7 -o - | asyncwds split - --max-count 1000 -o 'output-{shard:06d}.tar'
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.shuffle import shuffle_samples  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "shuffle", options)
    settings = {"seed": options["seed"], "buffer": buffer, "folder": folder}
    return show_report(shuffle_samples(inputs, outputs_of(inputs, options), selection_of(options), **settings), options)
