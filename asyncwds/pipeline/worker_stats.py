"""What workers of a loader counted, and their reports, in memory that they share with the process that made the dataset.

A worker has a slot of its own for each, of two halves, and writes to them in turn: number, length, checksum, and its numbers as
JSON. So whoever reads finds the latest half that is whole, whenever the worker was killed, and needs no lock.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from struct import Struct
from typing import Any
from zlib import crc32

from asyncwds.runtime.counters import Counters
from asyncwds.runtime.report import Report
from asyncwds.runtime.stats import Stats, summed
from asyncwds.runtime.worker_info import WorkerInfo

HALF = 2048
SLOT_BYTES = 2 * HALF
_HEAD = Struct("<QII")
_LONGEST_NAME, _FIRST_BYTES = 40, 16


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """Of one iteration in one worker. `started` [s] is on the monotonic clock, which is the same for all processes of a system."""

    started: float
    epoch: int
    workers: int
    stats: Stats


def publish(slot: memoryview, counters: Counters, place: WorkerInfo, epoch: int) -> None:
    """Writes what a worker has counted so far to its slot."""
    write_slot(slot, _fitting(WorkerStats(counters.started, epoch, place.num_workers, _shortened(counters.snapshot()))))


def write_slot(slot: memoryview, data: bytes) -> None:
    """Data that are no longer than `room_of` the slot."""
    halves = _halves(slot)
    number = 1 + max(_HEAD.unpack_from(half)[0] for half in halves)
    half = halves[number % 2]
    half[_HEAD.size : _HEAD.size + len(data)] = data
    _HEAD.pack_into(half, 0, number, len(data), crc32(data))


def room_of(slot: memoryview) -> int:
    return len(slot) // 2 - _HEAD.size


def _fitting(report: WorkerStats) -> bytes:
    """As much as there is room for: names may be long."""
    stats = report.stats
    data = b""
    for shorter in (stats, replace(stats, reasons={}), replace(stats, reasons={}, times={}, parallel={})):
        data = json.dumps(asdict(replace(report, stats=shorter))).encode()
        if _HEAD.size + len(data) <= HALF:
            break
    return data


def _shortened(stats: Stats) -> Stats:
    times = {name[:_LONGEST_NAME]: round(seconds, 6) for name, seconds in stats.times.items()}
    parallel = {name[:_LONGEST_NAME]: number for name, number in stats.parallel.items()}
    first_bytes = tuple([round(seconds, 6) for seconds in stats.first_bytes[-_FIRST_BYTES:]])
    reasons = {name[:_LONGEST_NAME]: reason for name, reason in stats.reasons.items()}
    return replace(stats, times=times, parallel=parallel, reasons=reasons, first_bytes=first_bytes)


def read(slot: memoryview) -> WorkerStats | None:
    """The latest report in a slot, if there is one."""
    data = read_slot(slot)
    return None if data is None else _report(json.loads(data))


def read_slot(slot: memoryview) -> bytes | None:
    """What was written to it last; None for nothing."""
    found = [(_HEAD.unpack_from(half)[0], data) for half in _halves(slot) if (data := _whole(half)) is not None]
    return max(found)[1] if found else None


def _whole(half: memoryview) -> bytes | None:
    _, length, checksum = _HEAD.unpack_from(half)
    data = bytes(half[_HEAD.size : _HEAD.size + length])
    return data if length and crc32(data) == checksum else None


def _halves(slot: memoryview) -> tuple[memoryview, memoryview]:
    middle = len(slot) // 2
    return slot[:middle], slot[middle:]


def _report(found: dict[str, Any]) -> WorkerStats:
    stats = found.pop("stats")
    return WorkerStats(**found, stats=Stats(**{**stats, "first_bytes": tuple(stats["first_bytes"])}))


def latest(slots: Iterable[memoryview]) -> WorkerStats | None:
    """The sum over the workers of the latest iteration; None if no worker has begun one."""
    reports = [report for slot in slots if (report := read(slot)) is not None]
    if not reports:
        return None
    last = max(reports, key=lambda report: report.started)
    alike = [report for report in reports if (report.epoch, report.workers) == (last.epoch, last.workers)]
    began = min(report.started for report in alike)
    seconds = max(report.started + report.stats.seconds for report in alike) - began
    return replace(last, stats=summed([report.stats for report in alike], seconds=seconds, workers=len(alike)))


REPORT_BYTES = 16384
FEW = 20  # skips that are kept where there is no room for all


def publish_report(slot: memoryview, report: Report, started: float) -> None:
    """Writes a report, with as many of the places as there is room for. `started` [s] as in `worker_stats.WorkerStats`."""
    few = replace(report, skips=report.skips[:FEW], indexes=None)
    counts = replace(few, skips=(), missing=dict(list(report.missing.items())[:1]), reasons={}, dropped={})
    for shorter in (report, replace(report, skips=report.skips[:FEW]), few, counts):
        data = zlib.compress(json.dumps([started, shorter.as_dict()]).encode(), 1)
        if len(data) <= room_of(slot):
            write_slot(slot, data)
            return


def latest_report(slots: Iterable[memoryview]) -> tuple[float, Report] | None:
    """The sum over the workers of the latest iteration, and when it began; None if no worker has begun one."""
    found = [_read_report(data) for slot in slots if (data := read_slot(slot)) is not None]
    if not found:
        return None
    started, last = max(found, key=lambda each: each[0])
    alike = [report for _, report in found if _iteration_of(report) == _iteration_of(last)]
    return started, sum(alike[1:], alike[0])


def _read_report(data: bytes) -> tuple[float, Report]:
    started, values = json.loads(zlib.decompress(data))
    return started, Report.from_dict(values)


def _iteration_of(report: Report) -> tuple[Any, ...]:
    return report.epoch, report.workers[0].num_workers
