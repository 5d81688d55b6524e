"""Sinks for code that may block: an upload on an event loop in a thread, which goes on while the caller does other things."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from queue import SimpleQueue

from asyncwds.bridges.loop_thread import OTHER_PROCESS, LoopThread
from asyncwds.errors import BridgeError, WdsError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.settings.access import Access
from asyncwds.storage.sink import Upload
from asyncwds.storage.sinks import open_sinks

Call = Callable[[Upload], Awaitable[None]]


class _Calls:
    """What both threads share: the calls to make, one after another. Each is answered, and so is the opening; with the error that
    ended the thread, if that was it.
    """

    def __init__(self, url: str, access: Access) -> None:
        self.waiting: asyncio.Queue[Call] = asyncio.Queue()
        self.answers: SimpleQueue[BaseException | None] = SimpleQueue()
        self._url = url
        self._access = access

    async def run(self) -> None:
        """Until it is cancelled or a call fails; unless the upload was committed by then, it is aborted."""
        with BlockingPool("upload") as thread:
            sink = open_sinks(self._access, thread)
            try:
                upload = await sink.open(self._url)
                try:
                    await self._make_calls(upload)
                finally:
                    await upload.abort()
            finally:
                await sink.aclose()

    async def _make_calls(self, upload: Upload) -> None:
        self.answers.put(None)
        while True:
            call = await self.waiting.get()
            await call(upload)
            self.answers.put(None)


class RemoteOutput:
    """An `Output` for urls that need a sink. Each call waits until the sink has taken it, not until the bytes have arrived."""

    def __init__(self, url: str, access: Access) -> None:
        self._calls = _Calls(url, access)
        self._thread = LoopThread(self._calls.run, self._calls.answers.put)
        self._finalizer = self._thread.start_for(self, self._thread.join)
        self._wait()

    def write(self, data: bytes) -> None:
        self._do(lambda upload: upload.write(data))

    def commit(self) -> None:
        self._do(lambda upload: upload.commit())
        self._finalizer()

    def abort(self) -> None:
        self._finalizer()

    def _do(self, call: Call) -> None:
        if not self._thread.is_of_this_process:
            raise BridgeError(OTHER_PROCESS)
        if not self._finalizer.alive:
            raise BridgeError("the output is closed")
        self._thread.call(self._calls.waiting.put_nowait, call)
        self._wait()

    def _wait(self) -> None:
        error = self._calls.answers.get()
        if error is None:
            return
        self._finalizer()
        try:
            # The frames of the thread lead back to it: in a circle they would keep open what whoever writes has open.
            raise error.with_traceback(None) if isinstance(error, WdsError) else error
        finally:
            del error
