"""How many items make a task, how large they are, and how many workers feed the consumer; pure functions of what was measured."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

TASK_SECONDS = 0.006  # a task costs 40 to 80 us to hand over, and more where threads find the caches cold that they wake up to
MOST_IN_TASK = 64
HELD_SECONDS = 0.004  # that what a source has given waits for more of a task
WAITS = 0.05  # of its time: a consumer that waits longer is not fed
GAIN = 1.1  # in items/s, below which more workers are of no use: they share the interpreter, or a disk
SPARE = 1.25  # workers over those that were busy all the time, before some are dismissed
AT_ONCE = 64  # coroutines, at most, where the number is found and not given


@dataclass(frozen=True, slots=True)
class Seen:
    """A period in which so many workers ran: [s] on the clock, that the consumer waited, that items took all together; items/s."""

    workers: int
    elapsed: float
    waited: float
    worked: float
    rate: float


def group_size(seconds: float | None) -> int:
    """Items of a task, where one takes so long."""
    if seconds is None:
        return 1
    return max(1, min(MOST_IN_TASK, int(TASK_SECONDS / max(seconds, 1e-9))))


class ChosenWorkers(NamedTuple):
    """So many workers, and why."""

    workers: int
    why: str


def choose_workers(seen: Seen, before: Seen | None, most: int) -> ChosenWorkers:
    """The number that feeds the consumer and no more. `before` is the period with fewer workers, if some were just added.

    A consumer that does not wait took all there was in (elapsed - waited), so that is how fast it would take more.
    """
    if before is not None and seen.workers > before.workers and seen.rate < GAIN * before.rate:
        return ChosenWorkers(
            before.workers, f"{seen.workers} did {seen.rate:.3g} items/s and these {before.rate:.3g}: more are of no use"
        )
    waits = f"the consumer waited for {100 * seen.waited / seen.elapsed:.0f} % of its time"
    if seen.waited > WAITS * seen.elapsed:
        wanted = ceil(seen.worked / max(seen.elapsed - seen.waited, 1e-9))
        chosen = min(most, max(seen.workers + 1, min(wanted, 2 * seen.workers)))
        return ChosenWorkers(chosen, f"{waits} with {seen.workers}" + (f", and {most} are the most" if chosen == most else ""))
    busy = seen.worked / seen.elapsed
    return ChosenWorkers(max(1, min(seen.workers, ceil(SPARE * busy))), f"{waits}, and {busy:.1f} of {seen.workers} were busy")


def available_cores() -> int:
    """Those that this process may run on."""
    count = getattr(os, "process_cpu_count", None)  # from Python 3.13 on; it follows -X cpu_count
    if count is not None:
        return count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def payload_bytes(item: Any) -> int:
    """[bytes] of what is in an item, as far as can be seen: bytes, text, arrays, images, and containers of such."""
    kind = type(item)
    if kind in _FLAT:
        return len(item)
    if kind in _NUMBERS:
        return 0
    if isinstance(item, _CONTAINERS):
        return _sum(item.values() if isinstance(item, dict) else item)
    nbytes = getattr(item, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    if hasattr(item, "getbands"):  # Pillow's
        return int(item.width * item.height * len(item.getbands()))
    return 0


def _sum(values: Iterable[Any]) -> int:
    total = 0
    for value in values:
        total += len(value) if type(value) in _FLAT else payload_bytes(value)
    return total


# This is asked twice for each item that workers work on: of most values the type tells at once.
_FLAT = frozenset({bytes, str, bytearray})
_NUMBERS = frozenset({int, float, bool, type(None)})
_CONTAINERS = (dict, list, tuple)
