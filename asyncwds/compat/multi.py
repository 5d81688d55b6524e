"""`webdataset.multi`: `MultiLoader`, a dataset in several processes, without torch, ZeroMQ or sockets."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any
from weakref import WeakSet

from asyncwds import checks
from asyncwds.errors import BridgeError, SpecError
from asyncwds.formatting.texts import show_value

__all__ = ["MultiLoader"]

# What crosses together: small samples share the price of a message, large ones cross one by one.
LOT_ITEMS = 64
LOT_SECONDS = 0.01
PATIENCE = 1.0  # [s] for a worker to end after it was told to, before it is killed


class MultiLoader:
    """The items of a dataset that `workers` processes iterate over, each at its place, in the order in which they come.

    An error in a worker is raised here. Dropping an iterator, or `kill`, ends its processes; a new iteration ends those of the
    one before, unless `nokill`. `verbose` and `prefix` are WebDataset's and have no meaning: there are no sockets, and nothing
    is printed. `context` is a start method of multiprocessing, by default its own; but for "fork" they pickle the dataset.
    """

    def __init__(
        self,
        dataset: Iterable[Any],
        workers: int = 4,
        verbose: bool = False,
        nokill: bool = False,
        prefix: str | None = None,
        *,
        context: str | None = None,
    ) -> None:
        if not isinstance(dataset, Iterable):
            raise SpecError(f"MultiLoader takes what can be iterated over, not {show_value(dataset)}")
        checks.whole("MultiLoader: workers", workers, 1)
        checks.flag("MultiLoader: nokill", nokill)
        checks.one_of("MultiLoader: context", context, (None, *get_all_start_methods()))
        self.dataset = dataset
        self.workers = workers
        self.verbose = verbose
        self.nokill = nokill
        self.prefix = prefix
        self._context = context
        self._running: WeakSet[_Workers] = WeakSet()

    def __iter__(self) -> Iterator[Any]:
        if not self.nokill:
            self.kill()
        workers = _Workers(self.dataset, self.workers, self._context)
        self._running.add(workers)
        return workers.items()

    def kill(self) -> None:
        """Ends all processes. Their iterators are at their end."""
        for workers in tuple(self._running):
            workers.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _running=WeakSet())


class _Workers:
    """The processes of one iteration. Each has a pipe of its own: the system's buffer of it bounds how far it is ahead."""

    def __init__(self, dataset: Iterable[Any], number: int, method: str | None) -> None:
        self._dataset = dataset
        self._number = number
        self._context: Any = get_context(method)
        self._pid = os.getpid()
        self._processes: dict[Connection, Any] = {}

    def _start(self, worker: int) -> None:
        receiving, sending = self._context.Pipe(duplex=False)
        # Forked, a worker has the other ends of all pipes so far; it must close them, or would never learn that we are gone.
        inherited = [*self._processes, receiving] if self._context.get_start_method() == "fork" else []
        arguments = (self._dataset, sending, inherited, worker, self._number)
        process = self._context.Process(target=_work, args=arguments, name=f"asyncwds worker {worker}", daemon=True)
        with sending:
            process.start()
        self._processes[receiving] = process

    def items(self) -> Iterator[Any]:
        try:
            for worker in range(self._number):
                self._start(worker)
            while self._processes:
                for connection in wait(list(self._processes)):
                    yield from self._received(connection)
        finally:
            self.close()

    def _received(self, connection: Any) -> list[Any]:
        process = self._processes[connection]
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):  # between two messages, or in the middle of one
            process.join()
            ended = f"ended early, with exit code {process.exitcode}"
            raise BridgeError(f"{process.name} {ended}: it was killed, perhaps as memory ran out, or left by os._exit") from None
        items, error = pickle.loads(message)  # noqa: S301 - from our own process
        if error is not None:
            raise error
        if items is None:
            self._end(connection)
        return items or []

    def _end(self, connection: Connection) -> None:
        process = self._processes.pop(connection)
        connection.close()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
        process.close()

    def close(self) -> None:
        if self._pid != os.getpid():  # in a forked child, whose processes they are not
            return
        for process in self._processes.values():
            process.terminate()
        for connection in tuple(self._processes):
            self._end(connection)


def _work(dataset: Iterable[Any], sending: Connection, inherited: list[Connection], worker: int, workers: int) -> None:
    """What runs in a process: sends (items, error), then (None, None)."""
    for connection in inherited:
        connection.close()
    os.environ["WORKER"], os.environ["NUM_WORKERS"] = str(worker), str(workers)
    with suppress(BrokenPipeError), sending:  # nobody wants more
        try:
            for lot in _lots(dataset):
                sending.send_bytes(pickle.dumps((lot, None), pickle.HIGHEST_PROTOCOL))
            sending.send_bytes(pickle.dumps((None, None)))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to the consumer, who raises it
            error.add_note(f"in worker {worker} of a MultiLoader")
            sending.send_bytes(_pickled(error))


def _lots(dataset: Iterable[Any]) -> Iterator[list[Any]]:
    lot: list[Any] = []
    until = monotonic() + LOT_SECONDS
    for item in dataset:
        lot.append(item)
        if len(lot) == LOT_ITEMS or monotonic() >= until:
            yield lot
            lot, until = [], monotonic() + LOT_SECONDS
    if lot:
        yield lot


def _pickled(error: Exception) -> bytes:
    try:
        message = pickle.dumps((None, error))
        pickle.loads(message)  # noqa: S301 - what was pickled just now: some errors come apart only here
    except Exception:  # noqa: BLE001 - pickling can fail in any way
        return pickle.dumps((None, BridgeError(f"{type(error).__name__}: {error}")))
    return message
