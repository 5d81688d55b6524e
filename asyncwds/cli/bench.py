"""`asyncwds bench`: how fast shards can be read, and what limits that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.options import LOCATION, reading_options
from asyncwds.formatting.texts import GB, MB, size

if TYPE_CHECKING:
    from asyncwds.pipeline.dataset import WebDataset
    from asyncwds.runtime.tracing import Trace


@click.command()
@click.argument("urls", nargs=-1, required=True, type=LOCATION)
@click.option("-c", "--connections", type=click.IntRange(min=1), help="Requests in flight; found automatically if not given.")
@click.option("-n", "--samples", type=click.IntRange(min=1), help="Stop after so many samples.")
@click.option("--stages", is_flag=True, help="A table of where the time went.")
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False), help="Write what was done when to this file, for Perfetto.")
@click.option(
    "--shuffle",
    "buffers",
    type=click.IntRange(min=0),
    multiple=True,
    help="Say how well a shuffle with a buffer of so many samples mixes the shards. May be given several times.",
)
@click.option(
    "--interleave",
    "interleaves",
    type=click.IntRange(min=1),
    multiple=True,
    help="Read so many shards in rotation. Several, with --shuffle: each of them with each buffer.",
)
@click.option("--shards-in-order", is_flag=True, help="With --shuffle: don't shuffle the shards themselves.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON: numbers in bytes and seconds.")
@reading_options
def bench(
    urls: tuple[str, ...],
    *,
    connections: int | None,
    samples: int | None,
    stages: bool,
    trace_file: str | None,
    buffers: tuple[int, ...],
    interleaves: tuple[int, ...],
    shards_in_order: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Reads shards as fast as it can and says what limits that; or, with --shuffle, how well they are shuffled.

    \b
    asyncwds bench 's3://bucket/train-{000..099}.tar' -n 10000 --stages
    asyncwds bench 'train-{000..099}.tar' --shuffle 1000 --shuffle 10000 --interleave 8

    URLS are as for `ls`.
    """
    from asyncwds.cli.reading import dataset, sources  # noqa: PLC0415 - heavy
    from asyncwds.cli.shuffles import as_numbers, as_text, measure_settings, shuffle_settings  # noqa: PLC0415 - heavy

    read_from = sources(urls, **options)
    if buffers:
        if trace_file is not None:
            raise click.UsageError("--trace is of one reading, and --shuffle does several")
        settings = shuffle_settings(buffers, interleaves, shards=not shards_in_order)
        for row in measure_settings(settings, urls, read_from, connections, samples):
            click.echo(json.dumps(as_numbers(row)) if as_json else as_text(row))
        return
    if interleaves or shards_in_order:
        raise click.UsageError("--interleave and --shards-in-order say how --shuffle is done, and there is none")
    with nullcontext() if trace_file is None else _tracing(trace_file):
        _bench_speed(dataset(urls, read_from, connections), samples, stages=stages, as_json=as_json)


def _tracing(path: str) -> Trace:
    from asyncwds.runtime.tracing import Trace  # noqa: PLC0415 - used here only

    return Trace(path)


def _bench_speed(shards: WebDataset, samples: int | None, *, stages: bool, as_json: bool) -> None:
    import resource  # noqa: PLC0415 - used here only
    from time import monotonic  # noqa: PLC0415 - used here only

    from asyncwds.cli.reading import progress  # noqa: PLC0415 - heavy

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
        "reasons": stats.reasons,
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
            *[f"{name:<14} {reason}" for name, reason in found["reasons"].items()],
        ]
    )


def _table(times: Mapping[str, float]) -> str:
    """Where the time went, most of it first: seconds, and the share of all."""
    whole = sum(times.values()) or 1.0
    rows = sorted(times.items(), key=lambda row: -row[1])
    return "\n".join(["", *(f"{name:<14} {seconds:8.3f} s {seconds / whole:6.1%}" for name, seconds in rows)])
