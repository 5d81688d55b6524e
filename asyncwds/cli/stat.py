"""`asyncwds stat`: how many samples, which fields and how large, and how even the shards are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from statistics import mean
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.tool_options import input_options, jobs_option, selection_options
from asyncwds.errors import redact
from asyncwds.formatting.texts import plural, printable, size

if TYPE_CHECKING:
    from asyncwds.tools.stat import Statistics


@click.command()
@input_options
@selection_options
@click.option("--deep", type=click.IntRange(min=0), default=0, metavar="N", help="Open the images of N samples.")
@jobs_option
@click.option("--json", "as_json", is_flag=True, help="As one line of JSON.")
def stat(urls: tuple[str, ...], *, deep: int, jobs: int, as_json: bool, **options: Any) -> int:
    """Says how many samples there are, which fields they have and how large these are, and how even the shards are.

    \b
    asyncwds stat 'train-{000..099}.tar'
    asyncwds stat 's3://bucket/train/*.tar' --deep 1000 --json
    asyncwds stat 'train-{000..099}.tar' --where 'json.width >= 512' --fields jpg
    """
    from asyncwds.cli.tool_arguments import inputs_of, selection_of  # noqa: PLC0415 - heavy
    from asyncwds.tools.report import OK, PARTIAL  # noqa: PLC0415 - as above
    from asyncwds.tools.stat import stat_shards  # noqa: PLC0415 - as above

    found = stat_shards(inputs_of(urls, "stat", options), selection_of(options), deep=deep, jobs=jobs)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"shards": [{**shard, "url": redact(shard["url"])} for shard in found.shards]}))
    else:
        for line in _lines(found):
            click.echo(printable(line))
    return PARTIAL if found.damaged else OK


def _lines(found: Statistics) -> Iterator[str]:
    yield f"{plural(found.samples, 'sample')} in {plural(len(found.shards), 'shard')}"
    if found.shards:
        counts = [shard["samples"] for shard in found.shards]
        yield f"samples of a shard: {min(counts)} to {max(counts)}, mean {mean(counts):.1f}"
        packed = sum(shard["compressed"] for shard in found.shards)
        if packed:
            yield f"compressed: {plural(packed, 'shard')}"
    for name, about in found.fields.items():
        share = about["samples"] / found.samples
        spread = ", ".join(f"{what} {size(about[what])}" for what in ("min", "median", "mean", "p95", "max"))
        yield f"  {name:<16} {share:>6.1%}  {size(about['bytes'])}: {spread}"
    if len(found.field_sets) > 1:
        yield "fields that samples have together:"
        for names, count in found.field_sets.items():
            yield f"  {count:>9} x {names}"
    for name, measured in found.images.items():
        kinds = ", ".join(f"{kind} {count}" for kind, count in (measured["formats"] | measured["modes"]).items())
        sides = "; ".join(f"{side} {_span(measured[side])}" for side in ("width", "height"))
        yield f"  {name}: {plural(measured['images'], 'image')}, {kinds}; {sides}"
    yield from (f"damaged: {error}" for error in found.damaged)


def _span(about: dict[str, float]) -> str:
    return f"{about['min']} to {about['max']}, median {about['median']}"
