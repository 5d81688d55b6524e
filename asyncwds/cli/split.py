"""`asyncwds split`: shards of other sizes, and groups of samples."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options


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
@output_options
def split(
    urls: tuple[str, ...], *, number: int | None, balance: bool, ratio: str | None, by_field: str | None, **options: Any
) -> int:
    """Copies samples to shards of another size, or to groups. Members are copied byte for byte. `reshard` is the same.

    \b
    asyncwds split big.tar --max-count 1000 -o 'out-{shard:06d}.tar'
    asyncwds split 'all-{000000..000999}.tar' --ratio train=.98,val=.02 --max-size 1GB -o 'out/{split}-{shard:06d}.tar'
    """
    from asyncwds.cli.tool_arguments import inputs_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.split import split_shards  # noqa: PLC0415 - as above

    inputs = inputs_of(urls, "split", options)
    report = split_shards(
        inputs,
        outputs_of(inputs, options),
        selection_of(options),
        number=number,
        balance=balance,
        ratio=None if ratio is None else _shares(ratio),
        by_field=by_field,
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
