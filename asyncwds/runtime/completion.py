"""Closing that a cancellation does not cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
GIVING_UP = 5.0
"""Time [s] that whoever gives an upload up waits for a host that does not answer, whatever the patience otherwise."""


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
