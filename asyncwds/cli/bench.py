"""`asyncwds bench`: how fast shards can be read, and what limits that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from asyncwds.cli.options import reading_options
from asyncwds.formatting.quantities import GB, MB, size


@click.command()
@click.argument("urls", nargs=-1, required=True)
@click.option("-c", "--connections", type=click.IntRange(min=1), help="Requests in flight; found automatically if not given.")
@click.option("-n", "--samples", type=click.IntRange(min=1), help="Stop after so many samples.")
@click.option("--stages", is_flag=True, help="A table of where the time went.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON: numbers in bytes and seconds.")
@reading_options
def bench(
    urls: tuple[str, ...], *, connections: int | None, samples: int | None, stages: bool, as_json: bool, **options: Any
) -> None:
    """Reads shards as fast as it can and says what limits that.

    URLS are as for `ls`.
    """
    import resource  # noqa: PLC0415 - used here only
    from time import monotonic  # noqa: PLC0415 - used here only

    from asyncwds.cli.reading import dataset, progress, sources  # noqa: PLC0415 - heavy

    shards = dataset(urls, sources(urls, **options), connections)
    if samples is not None:
        shards = shards.slice(samples)
    began, first = monotonic(), None
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    count = 0
    for _ in progress(iter(shards), shards.stats, label="bench", total=samples):
        first = first if first is not None else monotonic() - began
        count += 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "samples": count,
        "seconds": (stats := shards.stats()).seconds,
        "bytes": stats.bytes,
        "cpu_seconds": used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime,
        "first_sample_seconds": first or 0.0,
        "requests": stats.requests,
        "retries": stats.retries,
        "hedges": stats.hedges,
        "throttled": stats.throttled,
        "connections": stats.in_flight_peak,
        "limit": stats.limit,
        "times": stats.times,
    }
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(_lines(found, stats.summary()))
    if stages:
        click.echo(_table(stats.times))


def _lines(found: dict[str, Any], limit: str) -> str:
    seconds, nbytes = found["seconds"], found["bytes"]
    asked = f"{found['requests']}, {found['retries']} retries, {found['hedges']} hedged, {found['throttled']} throttled"
    return "\n".join(
        [
            f"samples        {found['samples']} ({found['samples'] / seconds:.0f}/s)",
            f"bytes          {size(nbytes)} ({nbytes / seconds / MB:.1f} MB/s)",
            f"CPU            {found['cpu_seconds'] / max(nbytes, 1) * GB:.2f} s per GB",
            f"first sample   after {found['first_sample_seconds']:.3f} s",
            f"requests       {asked}",
            f"limit          {limit}",
        ]
    )


def _table(times: Mapping[str, float]) -> str:
    """Where the time went, most of it first: seconds, and the share of all."""
    whole = sum(times.values()) or 1.0
    rows = sorted(times.items(), key=lambda row: -row[1])
    return "\n".join(["", *(f"{name:<14} {seconds:8.3f} s {seconds / whole:6.1%}" for name, seconds in rows)])
