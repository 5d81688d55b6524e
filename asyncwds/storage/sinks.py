"""Which sink or output writes which url: that of its scheme."""

from __future__ import annotations

from contextlib import AsyncExitStack

from asyncwds.errors import SpecError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.security import why_refused
from asyncwds.settings.access import Access, Storage
from asyncwds.shards.urls import scheme_of
from asyncwds.storage.local.output import Killable, Output
from asyncwds.storage.scheme import Scheme
from asyncwds.storage.schemes import SchemeMatch, find, known_names
from asyncwds.storage.sink import Sink, ThreadedUpload, Upload


def blocking_output(url: str, storage: Storage) -> Output | None:
    """The output for urls that are written by blocking calls, such as file:, plain paths, pipe:, and - for standard output.

    None for those that need a sink. Raises SpecError for urls that nothing writes, and for local files and pipes where the
    environment has WDS_SECURE=1.
    """
    return _output(url, _writable(url, storage))


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
        match = _writable(url, self._access.storage)
        output = None if match.scheme.output is None else await self._thread.run(_output, url, match)
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


def _writable(url: str, storage: Storage) -> SchemeMatch:
    scheme = scheme_of(url)
    if reason := why_refused(scheme):
        raise SpecError(f"{scheme}: urls are not written to, because {reason}", url=url)
    match = find(url, storage)
    if match is None or not match.scheme.is_writable:
        raise SpecError(f"nothing writes to {scheme}: urls; there is {known_names(lambda known: known.is_writable)}", url=url)
    return match


def _output(url: str, match: SchemeMatch) -> Output | None:
    return None if match.scheme.output is None else match.scheme.output(match.settings, url)
