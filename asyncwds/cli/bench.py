"""`asyncwds bench`: how fast shards can be read, and what limits that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.options import LOCATION, reading_options
from asyncwds.errors import redact
from asyncwds.formatting.texts import GB, MB, printable, size

if TYPE_CHECKING:
    from asyncwds.cli.reading import Sources
    from asyncwds.pipeline.dataset import WebDataset
    from asyncwds.runtime.tracing import Trace


@click.command()
@click.argument("urls", nargs=-1, required=True, type=LOCATION)
@click.option("-c", "--connections", type=click.IntRange(min=1), help="Requests in flight; found automatically if not given.")
@click.option("-n", "--samples", type=click.IntRange(min=1), help="Stop after so many samples.")
@click.option("--stages", is_flag=True, help="A table of where the time went.")
@click.option("--decode", metavar="SPEC", help="Decode the fields as well: 'rgb8', 'pil', 'torchrgb'.")
@click.option("--compare", is_flag=True, help="Read them with tarfile too, and with webdataset if it is installed.")
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
    decode: str | None,
    compare: bool,
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
        if trace_file is not None or compare or decode is not None:
            raise click.UsageError("--trace, --decode and --compare are of one reading, and --shuffle does several")
        settings = shuffle_settings(buffers, interleaves, shards=not shards_in_order)
        for row in measure_settings(settings, urls, read_from, connections, samples):
            click.echo(json.dumps(as_numbers(row)) if as_json else as_text(row))
        return
    if interleaves or shards_in_order:
        raise click.UsageError("--interleave and --shards-in-order say how --shuffle is done, and there is none")
    if compare and decode is not None:
        raise click.UsageError("--compare is of reading alone: without --decode")
    shards = dataset(urls, read_from, connections)
    with nullcontext() if trace_file is None else _tracing(trace_file):
        found, summary = _bench_speed(shards if decode is None else shards.decode(decode), samples)
    if compare:
        found["compared"] = _compare(urls, read_from, samples, found)
    click.echo(json.dumps(found) if as_json else _shown(found, summary, stages=stages))


def _shown(found: dict[str, Any], summary: str, *, stages: bool) -> str:
    rivals = [_rival_line(row) for row in found.get("compared", ())]
    return "\n".join([_lines(found, summary), *([_table(found["times"])] if stages else []), *rivals])


def _compare(urls: tuple[str, ...], sources: Sources, samples: int | None, found: dict[str, Any]) -> list[dict[str, Any]]:
    """What others took; `ratio` is how many times as many samples a second we read."""
    from dataclasses import asdict  # noqa: PLC0415 - used here only

    from asyncwds.storage.listing import expand_and_list  # noqa: PLC0415 - heavy
    from asyncwds.tools.rivals import measure_rivals  # noqa: PLC0415 - as above

    rows = [asdict(rival) for rival in measure_rivals(list(expand_and_list(urls, sources.access)), samples)]
    ours = found["samples"] / max(found["seconds"], 1e-9)
    for row in rows:
        row["ratio"] = None if row["failed"] else ours / max(row["samples"] / max(row["seconds"], 1e-9), 1e-9)
        row["failed"] = None if row["failed"] is None else redact(row["failed"])
    return rows


def _rival_line(row: dict[str, Any]) -> str:
    if row["failed"]:
        return f"{row['name']:<14} {printable(row['failed'])}"
    speed = row["samples"] / max(row["seconds"], 1e-9)
    return (
        f"{row['name']:<14} {row['samples']} ({speed:.0f}/s), CPU {row['cpu_seconds']:.2f} s; we do {row['ratio']:.2f} times that"
    )


def _tracing(path: str) -> Trace:
    from asyncwds.runtime.tracing import Trace  # noqa: PLC0415 - used here only

    return Trace(path)


def _bench_speed(shards: WebDataset, samples: int | None) -> tuple[dict[str, Any], str]:
    """The figures, and in words what limits them."""
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
    return found, stats.summary()


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
