"""Calls a function for items, several at once, with the results in the order of the items."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, TypeVar

from asyncwds.errors import WorkerDiedError
from asyncwds.runtime.blocking import BlockingPool

T = TypeVar("T")
R = TypeVar("R")
Workers = Literal["thread", "process"]

_AHEAD = 2  # calls for each worker: with one it would wait until its result is taken


def call_ordered(
    function: Callable[[T], R], items: Iterable[T], jobs: int, workers: Workers = "thread", stop: Callable[[], object] = bool
) -> Generator[tuple[T, R], None, None]:
    """Each item with its result. An error of a call is raised in its turn.

    At the end, and where nobody goes on, calls that have not begun are not made, `stop` is called, and those under way are waited
    for. Raises WorkerDiedError where a process ended by itself.
    """
    with _executor(workers, jobs) as executor:
        under_way: deque[tuple[T, Future[R]]] = deque()
        try:
            for item in items:
                under_way.append((item, executor.submit(function, item)))
                if len(under_way) >= _AHEAD * jobs:
                    yield _result(under_way)
            while under_way:
                yield _result(under_way)
        finally:
            for _, future in under_way:
                future.cancel()
            stop()
            wait([future for _, future in under_way])


def call_as_done(
    function: Callable[[T], R], items: Iterable[T], jobs: int, workers: Workers = "thread", stop: Callable[[], object] = bool
) -> Generator[tuple[T, R], None, None]:
    """The same in the order in which results come."""
    with _executor(workers, jobs) as executor:
        under_way: dict[Future[R], T] = {}
        try:
            for item in items:
                under_way[executor.submit(function, item)] = item
                if len(under_way) >= _AHEAD * jobs:
                    yield from _done(under_way)
            while under_way:
                yield from _done(under_way)
        finally:
            for future in under_way:
                future.cancel()
            stop()
            wait(under_way)


def _executor(workers: Workers, jobs: int) -> BlockingPool | ProcessPoolExecutor:
    if workers == "process":
        # Forked ones would share the connections and threads of this process.
        return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    return BlockingPool("tool", jobs)


def _result(under_way: deque[tuple[T, Future[R]]]) -> tuple[T, R]:
    item, future = under_way.popleft()
    return item, _outcome(future)


def _done(under_way: dict[Future[R], T]) -> Generator[tuple[T, R], None, None]:
    for future in wait(under_way, return_when="FIRST_COMPLETED").done:
        yield under_way.pop(future), _outcome(future)


def _outcome(future: Future[R]) -> R:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise WorkerDiedError(f"a process ended by itself, killed or out of memory: {error}") from error
