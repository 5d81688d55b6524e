"""`asyncwds split`: shards of other sizes, and groups of samples."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.options import LOCATION
from asyncwds.cli.tool_options import input_options, jobs_option, output_options, selection_options, shard_options


@click.command()
@input_options
@selection_options
@shard_options
@click.option("--number", type=click.IntRange(min=1), metavar="N", help="So many shards, alike in their numbers of samples.")
@click.option("--balance", is_flag=True, help="With --max-count: shards that are alike in their numbers of samples.")
@click.option(
    "--ratio", metavar="NAME=P,...", help="Groups by a hash of the key: 'train=.98,val=.02'. Needs {split} in the pattern."
)
@click.option("--by-field", metavar="EXPR", help="Groups by a value: 'json.split', 'cls'. Needs {split} in the pattern.")
@click.option(
    "--map",
    "by_map",
    type=LOCATION,
    metavar="FILE",
    help="The shard of each key: a csv, tsv, jsonl or parquet file. Needs {split}.",
)
@click.option(
    "--unmapped", default="error", show_default=True, metavar="error|drop|SHARD", help="With --map: of keys that it has not."
)
@jobs_option
@output_options
def split(urls: tuple[str, ...], *, ratio: str | None, **options: Any) -> int:
    """Copies samples to shards of another size, or to groups. Members are copied byte for byte. `reshard` is the same.

    \b
    asyncwds split big.tar --max-count 1000 -o 'out-{shard:06d}.tar'
    asyncwds split 'all-{000000..000999}.tar' --ratio train=.98,val=.02 --max-size 1GB -o 'out/{split}-{shard:06d}.tar'
    asyncwds split 'all-*.tar' --map shards.csv --unmapped drop -o 'out/{split}.tar'
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.split import split_shards  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "split", options)
    report = split_shards(
        inputs,
        outputs_of(inputs, options),
        selection_of(options),
        ratio=None if ratio is None else _shares(ratio),
        **{name: options[name] for name in ("number", "balance", "by_field", "by_map", "unmapped", "jobs")},
    )
    return show_report(report, options)


def _shares(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            raise click.UsageError(f"--ratio is NAME=SHARE,..., as train=.98,val=.02, not {text!r}") from None
    return shares
