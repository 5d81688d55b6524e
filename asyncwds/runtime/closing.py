"""Closing that nothing cuts short: neither a cancellation nor, while the interpreter ends, Ctrl-C."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
from collections.abc import Awaitable
from time import monotonic
from types import FrameType
from typing import TypeVar

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
