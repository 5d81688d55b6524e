"""Which sink writes which url: that of its scheme, or its output in a thread."""

from __future__ import annotations

from contextlib import AsyncExitStack

from asyncwds.runtime.blocking import BlockingPool
from asyncwds.settings.access import Access
from asyncwds.storage.local.output import Killable
from asyncwds.storage.outputs import output_for, writable
from asyncwds.storage.scheme import Scheme
from asyncwds.storage.schemes import SchemeMatch
from asyncwds.storage.sink import Sink, ThreadedUpload, Upload


def open_sinks(access: Access, thread: BlockingPool) -> Sink:
    """A sink for all urls. What blocks is done in `thread`, which has a single one."""
    return _Sinks(access, thread)


class _Sinks:
    """Makes the sink for a scheme and its settings when the first such url is opened, and closes them all."""

    def __init__(self, access: Access, thread: BlockingPool) -> None:
        self._access = access
        self._thread = thread
        self._sinks: dict[tuple[Scheme, int], Sink] = {}

    async def open(self, url: str) -> Upload:
        match = writable(url, self._access.storage)
        output = None if match.scheme.output is None else await self._thread.run(output_for, url, match)
        if output is not None:
            return ThreadedUpload(output, self._thread, output.kill if isinstance(output, Killable) else None)
        return await self._sink(match).open(url)

    async def aclose(self) -> None:
        async with AsyncExitStack() as stack:  # all of them, even if closing one fails
            for sink in self._sinks.values():
                stack.push_async_callback(sink.aclose)

    def _sink(self, match: SchemeMatch) -> Sink:
        key = match.key
        if key not in self._sinks:
            assert match.scheme.writer is not None
            self._sinks[key] = match.scheme.writer(match.settings, self._access, self._thread)
        return self._sinks[key]
