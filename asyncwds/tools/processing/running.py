"""Calls a function for items, several at once: `call_each`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, TypeVar

from asyncwds.errors import WorkerDiedError
from asyncwds.parallel.lifeline import end_with_parent
from asyncwds.runtime.blocking import BlockingPool, wait_until_done

T = TypeVar("T")
R = TypeVar("R")
Workers = Literal["thread", "process"]

_AHEAD = 2  # calls for each worker: with one it would wait until its result is taken


def call_each(
    function: Callable[[T], R],
    items: Iterable[T],
    jobs: int,
    workers: Workers = "thread",
    stop: Callable[[], object] = bool,
    *,
    ordered: bool = True,
) -> Generator[tuple[T, R], None, None]:
    """Each item with its result, in the order of the items, or else in that in which results come. Errors of calls are raised.

    At the end, and where nobody goes on, calls that have not begun are not made, `stop` is called, and those under way are waited
    for. Raises WorkerDiedError where a process ended by itself.
    """
    with _executor(workers, jobs) as executor:
        under_way: dict[Future[R], T] = {}
        try:
            for item in items:
                under_way[executor.submit(function, item)] = item
                if len(under_way) >= _AHEAD * jobs:
                    yield from _results(under_way, ordered=ordered)
            while under_way:
                yield from _results(under_way, ordered=ordered)
        finally:
            for future in under_way:
                future.cancel()
            stop()
            wait(under_way)


def _executor(workers: Workers, jobs: int) -> BlockingPool | ProcessPoolExecutor:
    if workers == "process":
        # Forked ones would share the connections and threads of this process.
        return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), end_with_parent)
    return BlockingPool("tool", jobs)


def _results(under_way: dict[Future[R], T], *, ordered: bool) -> Generator[tuple[T, R], None, None]:
    """Of the first call, or of those that are done, once there is one."""
    for future in wait_until_done(next(iter(under_way))) if ordered else wait_until_done(*under_way):
        yield under_way.pop(future), _outcome(future)


def _outcome(future: Future[R]) -> R:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise WorkerDiedError(f"a process ended by itself, killed or out of memory: {error}") from error
