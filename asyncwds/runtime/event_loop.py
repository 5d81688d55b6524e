"""The event loop of a thread: how it is made and for how many connections, deadlines on it, and what is cut short by nothing there.

A request has three deadlines: for its answer, for a second request beside it, for a connection that stalls. By asyncio's own timers
and `asyncio.timeout` they took 60 µs of it, a sixth, mostly to make and to cancel what never came due; so they take 10.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from types import FrameType, TracebackType
from typing import Self, TypeVar

from asyncwds.errors import FetchError

OF_A_LOOP = 3  # an event loop has its selector and a pair of sockets to be woken by


def most_connections() -> int:
    """Half of the descriptors that are free: commands have two pipes, and files of a cache, addresses and others need some too."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:  # none is free, or the system has no such folder
        used = limit // 2
    return max(1, (limit - used) // 2)


def are_used_up(error: OSError) -> bool:
    return error.errno in (errno.EMFILE, errno.ENFILE)


def make_loop(factory: Callable[[], asyncio.AbstractEventLoop]) -> asyncio.AbstractEventLoop:
    """A loop of that factory. Raises FetchError where too few descriptors are free."""
    try:
        # Tried out first: a loop that is made by half can't be closed, and Python prints that when it is collected.
        with ExitStack() as stack:
            for _ in range(OF_A_LOOP):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        return factory()
    except OSError as error:
        if not are_used_up(error):
            raise
        needed = f"an iteration, a listing or an upload needs {OF_A_LOOP}, and one for each connection: {advice(OF_A_LOOP + 1)}"
        raise FetchError(f"no file descriptors are left to start; {needed}") from error


def explain(error: BaseException) -> BaseException:
    """In place of a bare error that no descriptor was left, such as an import's, a FetchError that says what to do."""
    if isinstance(error, FetchError) or not isinstance(error, OSError) or not are_used_up(error):
        return error
    failure = FetchError(f"no file descriptors are left: {advice()}")
    failure.__cause__ = error
    return failure


def advice(needed: int | None = None) -> str:
    """For messages of errors that `are_used_up`; `needed` by what could not be done."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = f"this process may have {limit} descriptors open (RLIMIT_NOFILE)"
    more = "" if needed is None else f", and {needed} more are needed"
    return f"{allowed}{more}; raise it with ulimit -n"


class Deadlines:
    """Used on one event loop."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[float, Callable[[], None]]] = {}
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None  # due with the first of the calls, or earlier

    def add(self, seconds: float, call: Callable[[], None]) -> int:
        """Has something called in so many [s], unless the number that this returns is dropped before."""
        due = asyncio.get_running_loop().time() + seconds
        self._number += 1
        self._calls[self._number] = due, call
        if self._timer is None or due < self._timer.when():
            self._set_timer(due)
        return self._number

    def drop(self, number: int) -> None:
        """Idempotent."""
        self._calls.pop(number, None)

    def close(self) -> None:
        """Nothing is called any more."""
        self._calls.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        try:
            for number, (due, call) in sorted(self._calls.items(), key=lambda each: each[1][0]):
                if due <= now and self._calls.pop(number, None) is not None:  # or one of those before has dropped it
                    call()
        finally:
            if self._calls:
                self._set_timer(min(due for due, _ in self._calls.values()))


class TimeLimit:
    """As `asyncio.timeout`, around what the running task does: TimeoutError after so many [s], or when it is `expire`d."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_number", "_seconds", "_task")

    def __init__(self, deadlines: Deadlines, seconds: float | None = None) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._number = 0
        self._expired = False
        self._task: asyncio.Task[object] | None = None  # while the context is entered

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        if self._seconds is not None:
            self._number = self._deadlines.add(self._seconds, self.expire)
        return self

    def expire(self) -> None:
        """Of no effect outside of the context."""
        if self._task is not None and not self._expired:
            self._expired = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._deadlines.drop(self._number)
        task, self._task = self._task, None
        # Somebody else may have cancelled the task too: that is passed on.
        if self._expired and task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


T = TypeVar("T")
GIVING_UP = 5.0
"""Time [s] that whoever gives an upload up waits for a host that does not answer, whatever the patience otherwise."""
GRACE = 2.0  # [s] for the cleaning up, of Ctrl-Cs in quick succession; a busy machine takes its time


async def finished_soon(begun: asyncio.Task[T]) -> bool:
    """Whether a request that an upload began with is done within `GIVING_UP`, in whatever way. If not, it is cancelled."""
    await asyncio.wait([begun], timeout=GIVING_UP)
    if not begun.done():
        begun.cancel()
        await asyncio.wait([begun])
    return not begun.cancelled()


async def run_to_completion(work: Awaitable[T]) -> T:
    """What `work` returns. Waits for it also if the caller is cancelled meanwhile; that is raised afterwards, in place of an error.

    For what frees threads and sockets and does not wait for the network: a timeout or a second Ctrl-C comes while a first one
    is being handled, and what was not freed by then nobody would free any more.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()


def clean_up_undisturbed() -> None:
    """To be called after a finalizer was made: Ctrl-C does not come between its lines at exit, where it leaves things undone
    and a traceback. It ends the process as ever when it comes later.
    """
    # Exit handlers run in reverse order, and finalizers have a single one, which is registered with the first of them.
    atexit.unregister(_hold_off)
    atexit.register(_hold_off)


def _hold_off() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not in the place of a handler of the user's
        until = monotonic() + GRACE

        def patient(number: int, _: FrameType | None) -> None:
            if monotonic() > until:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        signal.signal(signal.SIGINT, patient)
