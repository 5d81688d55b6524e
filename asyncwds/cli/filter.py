"""`asyncwds filter`: the samples that are wanted, and what was dropped for which reason."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.options import LOCATION
from asyncwds.cli.tool_options import input_options, jobs_option, output_options, selection_options, shard_options


@click.command("filter")
@input_options
@selection_options
@click.option("--subset", type=LOCATION, metavar="FILE", help="As --keys: with --on json.uid, DataComp's lists of uids.")
@jobs_option
@shard_options
@output_options
def filter_samples(urls: tuple[str, ...], *, subset: str | None, **options: Any) -> int:
    """Copies the samples that are wanted, and reports how many were dropped for which reason.

    \b
    asyncwds filter 'train-{000..099}.tar' --where 'json.width >= 512' -o 'large-{shard:06d}.tar' --max-count 1000
    asyncwds filter 'train-{000..099}.tar' --py mypackage.quality:keep --jobs 8 -o 'kept/{name}.tar'
    asyncwds filter 's3://pool/{00000..09999}.tar' --subset uids.npy --on json.uid --part 3/64 --resume \\
        --max-count 10000 -o 's3://out/{part:03d}-{shard:05d}.tar'
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.filter import filter_samples  # noqa: PLC0415 - as above

    if subset is not None and options["keys"] is not None:
        raise click.UsageError("--subset is another name of --keys: give one of them")
    inputs = inputs_of(urls, "filter", options)
    selection = selection_of({**options, "keys": subset or options["keys"]})
    return show_report(filter_samples(inputs, outputs_of(inputs, options), selection, jobs=options["jobs"]), options)
