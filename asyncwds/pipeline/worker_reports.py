"""Reports of workers of a loader, in memory that they share with the process that made the dataset: as `worker_stats` does it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from asyncwds.pipeline.worker_stats import read_slot, room_of, write_slot
from asyncwds.runtime.report import Report

SLOT_BYTES = 16384
FEW = 20  # skips that are kept where there is no room for all


def publish(slot: memoryview, report: Report, started: float) -> None:
    """Writes a report, with as many of the places as there is room for. `started` [s] as in `worker_stats.WorkerStats`."""
    few = replace(report, skips=report.skips[:FEW], indexes=None)
    counts = replace(few, skips=(), missing=dict(list(report.missing.items())[:1]), reasons={}, dropped={})
    for shorter in (report, replace(report, skips=report.skips[:FEW]), few, counts):
        data = zlib.compress(json.dumps([started, shorter.as_dict()]).encode(), 1)
        if len(data) <= room_of(slot):
            write_slot(slot, data)
            return


def latest(slots: Iterable[memoryview]) -> tuple[float, Report] | None:
    """The sum over the workers of the latest iteration, and when it began; None if no worker has begun one."""
    found = [_read(data) for slot in slots if (data := read_slot(slot)) is not None]
    if not found:
        return None
    started, last = max(found, key=lambda each: each[0])
    alike = [report for _, report in found if _of(report) == _of(last)]
    return started, sum(alike[1:], alike[0])


def _read(data: bytes) -> tuple[float, Report]:
    started, values = json.loads(zlib.decompress(data))
    return started, Report.from_dict(values)


def _of(report: Report) -> tuple[Any, ...]:
    return report.epoch, report.workers[0].num_workers
