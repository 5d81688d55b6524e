"""What a process has of the system: descriptors, also for event loops, and an end. What needs no loop does without asyncio."""

from __future__ import annotations

import atexit
import errno
import os
import resource
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from asyncwds.errors import FetchError

if TYPE_CHECKING:
    import asyncio

GRACE = 2.0  # [s] for the cleaning up, of Ctrl-Cs in quick succession; a busy machine takes its time
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
