"""One run of one peer: `python -m bench.field.child MODULE FUNCTION`, the world as JSON on stdin, what was measured on stdout."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from time import perf_counter, time
from typing import Any

from bench.field.processes import cpu_of, resident, tree
from bench.harness import World
from bench.tally import Tally

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)


class Clock:
    """Wall and CPU seconds since it was made, of all processes below this one; `over` when the limit [s] is reached."""

    def __init__(self, world: World) -> None:
        self._server: list[int] = world.get("servers", [])
        self.cpu, self.server = self._used()
        self.began = perf_counter()
        self._limit: float = world["limit"]

    def _used(self) -> tuple[float, float]:
        return cpu_of(tree(os.getpid())), cpu_of(self._server)

    def over(self, first: float | None) -> bool:
        """At the limit, but not before half of it has passed since the first sample."""
        return perf_counter() - max(self.began, (first or 0.0) - self._limit / 2) > self._limit

    def read(self) -> dict[str, float]:
        seconds = perf_counter() - self.began
        cpu, server = self._used()
        return {"seconds": seconds, "cpu": cpu - self.cpu, "server_cpu": server - self.server}


def epochs(stream: Iterable[Any], world: World) -> Iterator[Any]:
    """One, or as many as the time allows."""
    yield from stream
    while world.get("again"):
        yield from stream


def consume_samples(stream: Iterable[Any], world: World, tally: Tally, clock: Clock) -> None:
    for number, sample in enumerate(epochs(stream, world)):
        tally.add(sample)
        if not number & 15 and clock.over(tally.first):
            return


def check_samples(stream: Iterable[Any], _: World, tally: Tally, __: Clock) -> None:
    """All of them, every byte hashed, the fields by name: formats order them in their own ways."""
    for sample in stream:
        tally.add({name: sample[name] for name in sorted(sample) if type(sample[name]) is bytes})


def consume_itself(stream: Any, _: World, tally: Tally, __: Clock) -> None:
    """What counts by itself, since it has no samples."""
    stream(tally)


def consume_batches(stream: Iterable[Any], world: World, tally: Tally, clock: Clock) -> None:
    for batch in epochs(stream, world):
        tally.add_part(batch.nbytes, int(batch[0][0][0].sum()))
        tally.samples += len(batch)
        if clock.over(tally.first):
            return


def consume_fields(stream: Iterable[Any], world: World, tally: Tally, clock: Clock) -> None:
    for batch in epochs(stream, world):
        tally.add_part(sum(field.nbytes for field in batch.values()), 0)
        tally.samples += 1
        if clock.over(tally.first):
            return


def consume_twice(stream: Iterable[Any], world: World, tally: Tally, clock: Clock) -> dict[str, float]:
    """The first batch of a fresh process, imports and all, and of a second epoch."""
    found = {}
    began = world["began"]
    for name in ("cold", "warm"):
        for batch in stream:
            if name not in found:
                found[name] = time() - began
            tally.samples += len(batch)
        began = time()
    tally.first = clock.began + found["cold"]
    return found


def work() -> float:
    """A step of a training that holds the interpreter: always the same; how long it took [s]."""
    began, total = perf_counter(), 0
    for number in range(1_500_000):
        total += number & 7
    return perf_counter() - began


def consume_with_work(stream: Iterable[Any], world: World, tally: Tally, clock: Clock) -> dict[str, float]:
    steps: list[float] = []
    for batch in epochs(stream, world):
        if tally.first is None:
            tally.first = perf_counter()
        steps.append(work())
        tally.samples += len(batch)
        if clock.over(tally.first):
            break
    return {"step": sorted(steps)[len(steps) // 2]}


CONSUMERS = {
    "samples": consume_samples,
    "check": check_samples,
    "itself": consume_itself,
    "batches": consume_batches,
    "fields": consume_fields,
    "twice": consume_twice,
    "work": consume_with_work,
}


def measure(module: str, function: str, world: World) -> dict[str, Any]:
    peer = import_module(f"bench.field.peers.{module}")
    getattr(peer, "start", lambda _: None)(world)
    tally, idle = Tally(full=world["consume"] == "check", every=world.get("every", 1)), resident(tree(os.getpid()))
    clock, error, more = Clock(world), "", None
    try:
        stream = getattr(peer, function)(world)
        more = CONSUMERS[world["consume"]](stream, world, tally, clock)
    except Exception as failure:
        traceback.print_exc()
        error = f"{type(failure).__name__}: {str(failure).splitlines()[0] if str(failure) else ''}"[:200]
    found = clock.read()
    error = error or ("" if tally.samples or tally.bytes else "ended without giving anything")
    first = found["seconds"] if tally.first is None else tally.first - clock.began
    counted = {"samples": tally.samples, "bytes": tally.bytes, "digest": tally.digest}
    return {**found, "first": first, "idle": idle, "error": error, **counted, **(more or {})}


def main() -> None:
    # Processes whose parent has gone come to us, so that what they used is counted, and none is left.
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    world = json.load(sys.stdin)
    if sys.argv[2] == "convert":
        import_module(f"bench.field.peers.{sys.argv[1]}").convert(world)
        return
    report = measure(sys.argv[1], sys.argv[2], world)
    Path(world["report"]).write_text(json.dumps(report))
    for process in tree(os.getpid())[1:]:
        os.kill(process, signal.SIGKILL)
    os._exit(0)  # what a loader does at its end is not asked here, and takes some of them seconds


if __name__ == "__main__":
    main()
