"""The narrow waist for writing: `Sink`, which opens objects to write to, and the `Upload` that it opens.

Everything that writes to a server or a bucket without blocking is a sink. An object becomes visible with `commit`, as a
whole; whatever ends before that leaves nothing. `write` returns once the bytes are kept, which may be long before they
have arrived; so errors of the network may come out of a later call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from asyncwds.runtime.blocking import BlockingPool
from asyncwds.storage.local.output import Output


class Upload(Protocol):
    """One object that is written from its beginning to its end, one call at a time."""

    async def write(self, data: bytes) -> None:
        """Takes some bytes; waits where more are under way than there is room for. Raises FetchError."""
        ...

    async def commit(self) -> None:
        """Returns when the whole object is visible under its URL. Raises FetchError, after which it is not."""
        ...

    async def abort(self) -> None:
        """Drops what was written and frees everything. Idempotent; does nothing after `commit`."""
        ...


class Sink(Protocol):
    """Opens objects to write to; must be used and closed on one event loop."""

    async def open(self, url: str) -> Upload:
        """An upload to `url`, which replaces what is there. Raises SpecError or FetchError."""
        ...

    async def aclose(self) -> None:
        """Frees connections, once no upload is open any more. Idempotent."""
        ...


class ThreadedUpload:
    """An output that blocks, used in `thread`, which has a single one, so that calls come in order even if their
    callers are cancelled. `interrupt` makes a call that hangs return, from outside the thread.

    A write goes on while its caller makes ready what comes next; its error comes out of the next call.
    """

    def __init__(self, output: Output, thread: BlockingPool, interrupt: Callable[[], None] | None = None) -> None:
        self._output = output
        self._thread = thread
        self._interrupt = interrupt
        self._writing: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        await self._written()
        self._writing = asyncio.wrap_future(self._thread.submit(self._output.write, data))
        self._writing.add_done_callback(_seen)

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def commit(self) -> None:
        await self._written()
        await self._thread.run(self._output.commit)

    async def abort(self) -> None:
        if self._interrupt is not None:
            self._interrupt()
        await self._thread.run(self._output.abort)


def _seen(writing: asyncio.Future[None]) -> None:
    """After an abort nobody asks for the error, and asyncio would complain."""
    if not writing.cancelled():
        writing.exception()


async def write_whole(upload: Upload, data: bytes) -> None:
    """Writes all of an object and commits it, or aborts."""
    try:
        await upload.write(data)
        await upload.commit()
    except BaseException:
        await upload.abort()
        raise
