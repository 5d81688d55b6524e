"""Calls a function for items, several at once: `call_each` in threads, `call_each_in_processes` in processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing
from functools import partial
from typing import Literal, TypeVar

from asyncwds.runtime.blocking import BlockingPool, wait_until_done

T = TypeVar("T")
R = TypeVar("R")
Workers = Literal["thread", "process", "async"]

_AHEAD = 2  # calls for each worker: with one it would wait until its result is taken


def call_each(
    function: Callable[[T], R],
    items: Iterable[T],
    jobs: int,
    stop: Callable[[], object] = bool,
    *,
    ordered: bool = True,
) -> Generator[tuple[T, R], None, None]:
    """Each item with its result, in the order of the items, or else in that in which results come. Errors of calls are raised.

    At the end, and where nobody goes on, calls that have not begun are not made, `stop` is called, and those under way are waited
    for.
    """
    with BlockingPool("tool", jobs) as pool:
        under_way: dict[Future[R], T] = {}
        try:
            for item in items:
                under_way[pool.submit(function, item)] = item
                if len(under_way) >= _AHEAD * jobs:
                    yield from _results(under_way, ordered=ordered)
            while under_way:
                yield from _results(under_way, ordered=ordered)
        finally:
            for future in under_way:
                future.cancel()
            stop()
            wait(under_way)


def _results(under_way: dict[Future[R], T], *, ordered: bool) -> Generator[tuple[T, R], None, None]:
    """Of the first call, or of those that are done, once there is one."""
    for future in wait_until_done(next(iter(under_way))) if ordered else wait_until_done(*under_way):
        yield under_way.pop(future), future.result()


def call_each_in_processes(
    function: Callable[[T], R], items: Iterable[T], jobs: int, describe: Callable[[T], str]
) -> Generator[tuple[T, R], None, None]:
    """Each item with its result, in the order of the items: see `call_in_processes`."""
    from asyncwds.parallel.process_calls import call_in_processes, in_order  # noqa: PLC0415 - it brings multiprocessing

    kept: dict[int, T] = {}
    start = partial(_same_for_all, function)
    with closing(call_in_processes(start, _keep(items, kept), jobs, describe, ahead=_AHEAD * jobs)) as results:
        for number, result in enumerate(in_order(results)):
            yield kept.pop(number), result


def _keep(items: Iterable[T], kept: dict[int, T]) -> Iterator[T]:
    for number, item in enumerate(items):
        kept[number] = item
        yield item


def _same_for_all(function: Callable[[T], R], process: int) -> Callable[[T], R]:
    del process
    return function
