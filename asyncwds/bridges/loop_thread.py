"""An event loop in a thread of its own, which runs one coroutine to its end.

The thread is a daemon, and is joined all the same: by whoever owns it and at interpreter exit (see `runtime/dropping.py`): exit
handlers run while daemon threads still do, so it always ends before the interpreter is taken down. It must hold no reference to
its owner; otherwise a dropped one could never be collected.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from asyncwds.errors import BridgeError, SpecError
from asyncwds.runtime.dropping import finalizer, join_all
from asyncwds.runtime.process import clean_up_undisturbed, explain, make_loop
from asyncwds.settings.reading import Prefetch

OTHER_PROCESS = "an iterator cannot be used in another process than the one that made it; iterate over the dataset there"

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class LoopThread:
    """Runs `main` on a loop of its own, from `start` until it returns or `stop` cancels it; `ended` is then called in the thread.

    `ended` gets the error that ended it, if any: BridgeError if it was stopped.
    """

    def __init__(
        self,
        main: Callable[[], Coroutine[Any, Any, None]],
        ended: Callable[[BaseException | None], None],
        loop_factory: LoopFactory = asyncio.new_event_loop,
    ) -> None:
        # Made by the thread itself: a thread that is stopped before it starts has nothing to close.
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._run, args=(main, ended, loop_factory), name="asyncwds engine", daemon=True)
        self._pid = os.getpid()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def is_of_this_process(self) -> bool:
        return self._pid == os.getpid()

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    def start_for(self, owner: object, shut_down: Callable[[], None]) -> weakref.finalize[..., Any]:
        """Starts the thread. `shut_down`, which has to call `join`, is called once: by the result, or for an owner dropped."""
        # Before the start: Ctrl-C may come between any two lines, and a thread must never be without an owner.
        ends = finalizer(owner, shut_down)
        clean_up_undisturbed()
        self.thread.start()
        return ends

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Has the loop call a function soon; nothing once it has ended. From any thread."""
        if self.loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(function, *args)

    def stop(self) -> None:
        """Cancels `main`, and does not wait. From any thread."""
        # In this order: either this sees the loop, or the thread, which makes it first and looks then, sees this.
        self._stopping = True
        self.call(self._cancel)

    def join(self) -> None:
        """Stops it and waits for its end, a moment only where its owner was dropped. From any thread, its own too, also in a forked
        child, where there is no such thread.
        """
        if self.is_of_this_process:
            self.stop()
            join_all([self.thread])  # It has not started perhaps, and will end at once if it does.

    def _run(
        self, main: Callable[[], Coroutine[Any, Any, None]], ended: Callable[[BaseException | None], None], factory: LoopFactory
    ) -> None:
        error: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=partial(make_loop, factory)) as runner:
                self.loop = runner.get_loop()
                try:
                    runner.run(self._run_main(main))
                finally:
                    _end_tasks(self.loop)
        except asyncio.CancelledError:
            error = BridgeError("the iterator was closed")
        except BaseException as failure:  # noqa: BLE001 - it belongs to the consumer, who raises it
            error = explain(failure)
        self._task = None  # it has the error
        ended(error)

    async def _run_main(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.current_task()
        if not self._stopping:
            await main()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """SystemExit of a task, from a function of users, breaks off the loop at once, and so does the next: until none is left."""
    while tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        with suppress(SystemExit, KeyboardInterrupt):
            loop.run_until_complete(asyncio.wait(tasks))


def loop_factory(prefetch: Prefetch) -> LoopFactory:
    """How the engine's own loop is made. Raises SpecError if uvloop is asked for and not installed."""
    if not prefetch.uvloop:
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SpecError("Prefetch(uvloop=True) needs uvloop: pip install 'asyncwds[uvloop]'") from error
    made: LoopFactory = uvloop.new_event_loop
    return made
