"""Calls a function for items in processes, of which each works on one item at a time: `call_in_processes`.

this process                     each process
item ──────────────────────────► function(item)
result, or its error ◄──────────
line, which ends with this ────► ends what it is doing, cleans up, and ends
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any, Generic, TypeVar

from asyncwds.errors import SpecError, WorkerDiedError
from asyncwds.parallel import failures
from asyncwds.parallel.processes import (
    PATIENCE,
    ignore_interrupts,
    interrupt_at_end_of,
    interrupted_on_termination,
    interrupts_blocked,
)

T = TypeVar("T")
R = TypeVar("R")
Start = Callable[[int], Callable[[T], R]]
"""Called once in each process, with its number: returns the function."""

LOOK = 1.0  # [s] between two looks at processes: a Ctrl-C that comes just before a wait does not interrupt it


def call_in_processes(
    start: Start[T, R], items: Iterable[T], processes: int, describe: Callable[[T], str], *, ahead: int | None = None
) -> Generator[tuple[int, R], None, None]:
    """The number of each item with its result, as they come. An error of a call is raised with the traceback that it had there.

    ahead   so many items at most are taken before the result of the first of them is there: for `in_order`, which keeps others

    `start` and the items are pickled. At the end, and where nobody goes on, no process is left: calls under way get a
    KeyboardInterrupt, and some seconds. So they do where this process is killed. Raises WorkerDiedError where one ended by itself;
    `describe` says what it worked on.
    """
    waiting = _Waiting(items, ahead)
    workers: list[_Worker] = []
    try:
        _give(waiting, workers, processes, start)
        while busy := [worker for worker in workers if worker.item is not None]:
            for worker in _ready(busy):
                if (answer := worker.take(describe)) is None:
                    continue
                waiting.open.discard(answer[0])
                _give(waiting, workers, processes, start)
                yield answer
        for worker in workers:
            worker.dismiss()
    finally:
        _end(workers)


def in_order(results: Iterable[tuple[int, R]]) -> Iterator[R]:
    """Numbered results as their numbers are, from 0 on."""
    early: dict[int, R] = {}
    due = 0
    for number, result in results:
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1


class _Waiting(Generic[T]):
    """Items that have not been given to a process, and the numbers of those that have and are `open`."""

    def __init__(self, items: Iterable[T], ahead: int | None) -> None:
        self._items = enumerate(items)
        self._ahead = ahead
        self._taken = 0
        self.open: set[int] = set()

    def take(self) -> tuple[int, T] | None:
        """The next one, if there is one that may be taken now."""
        if self._ahead is not None and self._taken - min(self.open, default=self._taken) >= self._ahead:
            return None
        item = next(self._items, None)
        if item is not None:
            self._taken += 1
            self.open.add(item[0])
        return item


def _give(waiting: _Waiting[Any], workers: list[_Worker], processes: int, start: Start[Any, Any]) -> None:
    """Items to processes that have none, and to new ones, which all start before the first one waits for what is sent to it."""
    given: list[tuple[_Worker, tuple[int, Any]]] = []
    idle = [worker for worker in workers if worker.item is None]
    while (idle or len(workers) < processes) and (item := waiting.take()) is not None:
        if not idle:
            workers.append(_Worker(start, len(workers)))
        given.append((idle.pop() if idle else workers[-1], item))
    for worker, item in given:
        worker.give(*item)


def _ready(workers: list[_Worker]) -> list[_Worker]:
    """Those that have an answer, or have ended."""
    wait([each.connection for each in workers] + [each.process.sentinel for each in workers], LOOK)
    return [each for each in workers if each.connection.poll() or each.process.exitcode is not None]


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.line.close()
    until = monotonic() + PATIENCE + LOOK
    for worker in workers:
        worker.process.join(max(0.0, until - monotonic()))
        if worker.process.exitcode is None:
            worker.process.kill()
        worker.close()


class _Worker:
    """A process, and the item that it works on with its number."""

    def __init__(self, start: Start[Any, Any], number: int) -> None:
        # Forked, it would share the connections and threads of this process.
        context = get_context("spawn")
        self.item: tuple[int, Any] | None = None
        self.connection, there = context.Pipe()
        held, self.line = context.Pipe(duplex=False)
        self.has_started = False
        self.process = context.Process(target=_work, args=(start, number, there, held), name=f"job {number}")
        with there, held:
            try:
                with interrupts_blocked():
                    self.process.start()
            except BaseException as error:
                self.connection.close()
                self.line.close()
                if "bootstrapping" in str(error):  # multiprocessing's, in a process that imports the script
                    raise SpecError(f"a process of a tool is to start others: {failures.MAIN}") from error
                raise

    def give(self, number: int, item: Any) -> None:
        self.item = number, item
        with suppress(BrokenPipeError):  # it has ended, which is seen when its answer is awaited
            self.connection.send(item)

    def take(self, describe: Callable[[Any], str]) -> tuple[int, Any] | None:
        """The number of the item with its result; None if it only says that it has started."""
        assert self.item is not None
        number, item = self.item
        try:
            data = self.connection.recv_bytes()
        except (EOFError, OSError):
            raise self._death(describe(item)) from None
        if not data:
            self.has_started = True
            return None
        failure, result, warned = pickle.loads(data)  # noqa: S301 - from our own process
        for message, category in warned:
            warnings.warn(message, category, stacklevel=2)
        if failure is not None:
            raise failures.unpickled(failure)
        self.item = None
        return number, result

    def _death(self, work: str) -> WorkerDiedError:
        self.process.join(LOOK)
        name = f"the process for {work}"
        return failures.death(name, self.process.pid or 0, self.process.exitcode, has_started=self.has_started)

    def dismiss(self) -> None:
        """It ends, as nothing more will come."""
        self.connection.close()
        self.process.join()

    def close(self) -> None:
        """Of a process that has ended, or was killed."""
        self.process.join()
        self.process.close()
        self.connection.close()


def _work(start: Start[Any, Any], number: int, connection: Connection, line: Connection) -> None:
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):  # nobody wants more
        ignore_interrupts()
        with interrupted_on_termination():
            interrupt_at_end_of(line)
            _serve(start, number, connection)


def _serve(start: Start[Any, Any], number: int, connection: Connection) -> None:
    """Until the other end is closed, which raises EOFError."""
    function: Callable[[Any], Any] | None = None
    warned: list[tuple[str, type[Warning]]] = []
    warnings.showwarning = partial(_keep_warning, warned)
    connection.send_bytes(b"")
    while True:
        item = connection.recv()
        try:
            function = function or start(number)
            result = function(item)
            answer = pickle.dumps((None, result, warned))
        except Exception as error:  # noqa: BLE001 - it belongs to the consumer, who raises it
            answer = pickle.dumps((failures.pickled(error), None, warned))
        warned.clear()
        connection.send_bytes(answer)


def _keep_warning(
    warned: list[tuple[str, type[Warning]]], message: Warning | str, category: type[Warning], *_: Any, **__: Any
) -> None:
    """For the process that asked, which shows it as it does its own; by a class that it surely has."""
    known = (each for each in category.__mro__ if each.__module__.partition(".")[0] in ("builtins", __name__.partition(".")[0]))
    warned.append((str(message), next(known)))
