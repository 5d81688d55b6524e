"""Threads that work on tasks: for functions that release the interpreter, as decoders do."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextvars import copy_context
from queue import SimpleQueue
from time import perf_counter
from typing import Any
from weakref import finalize

from asyncwds.parallel.ordered import Failure, Function, Task, TaskTrace
from asyncwds.parallel.sizing import payload_bytes
from asyncwds.runtime.dropping import finalizer, join_all
from asyncwds.runtime.process import clean_up_undisturbed


class WorkerThreads:
    """They are daemons, and are waited for all the same: by whoever closes, and at interpreter exit (see `runtime/dropping.py`)."""

    def __init__(self, function: Function, trace: TaskTrace | None = None) -> None:
        self.done: SimpleQueue[Task | BaseException | None] = SimpleQueue()
        self._todo: SimpleQueue[Task | None] = SimpleQueue()
        self._function = function
        self._trace = trace
        self._threads: list[threading.Thread] = []
        self._number = 0
        self._stopped = False
        self._pid = os.getpid()

    def start_for(self, owner: object, number: int) -> finalize[..., Any]:
        # Before the start: Ctrl-C may come between any two lines, and a thread must never be without an owner.
        ends = finalizer(owner, self._shut_down)
        clean_up_undisturbed()
        self.resize(number)
        return ends

    def resize(self, number: int) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        while self._number < number:
            thread = threading.Thread(target=copy_context().run, args=(self._work,), name="asyncwds worker", daemon=True)
            self._threads.append(thread)
            self._number += 1
            thread.start()
        while self._number > number:
            self._number -= 1
            self._todo.put(None)  # whoever takes it ends

    def submit(self, task: Task) -> None:
        self._todo.put(task)

    def stop(self) -> None:
        self._stopped = True
        for _ in self._threads:
            self._todo.put(None)
        self.done.put(None)

    def _shut_down(self) -> None:
        if self._pid != os.getpid():  # a forked child, where there are no such threads
            return
        self.stop()
        join_all(self._threads)

    # -- on the threads

    def _work(self) -> None:
        while not self._stopped and (task := self._todo.get()) is not None:
            self._run(task)
            self.done.put(task)
            del task  # or the latest would be kept until there is another

    def _run(self, task: Task) -> None:
        began = perf_counter()
        entries = iter(task.entries)
        while len(task.outcomes) < task.items:
            if self._stopped:
                return
            self._call_each(entries, task.outcomes)
        task.seconds = perf_counter() - began
        task.result_bytes = sum(map(payload_bytes, task.outcomes))
        if self._trace is not None:
            self._trace(threading.get_ident(), began, task)

    def _call_each(self, entries: Iterator[Any], outcomes: deque[Any]) -> None:
        """Until one fails. What stands between two calls is short: a decoder leaves nothing of it in the processor's caches."""
        function, add = self._function, outcomes.append
        try:
            for entry in entries:
                add(function(entry))
                if self._stopped:
                    return
        except BaseException as error:  # noqa: BLE001 - it is the consumer's, who raises it when it is its turn
            # Without this frame, which would keep what came before.
            add(Failure(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)))
