"""An object that is being downloaded, by this process and any others: a file with holes, and a journal of what is there.

Who fetches a span of it has a lock on that span of the file, so that nobody else does; the kernel frees it when a
process dies. The locks only save requests: what is in the journal was written before, whoever did that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from asyncwds.errors import CacheError
from asyncwds.runtime.units import MiB
from asyncwds.storage.base import Chunk
from asyncwds.storage.cache.download_files import DownloadFiles
from asyncwds.storage.cache.folder import CacheFolder
from asyncwds.storage.cache.journal import Header, Journal, header_line
from asyncwds.storage.cache.locks import Claim, Leases
from asyncwds.storage.cache.threads import CacheThreads

HEADER = 1 << 62
"""The byte of the file that is locked by who asks the source first."""

END = 1 << 61
"""Beyond every object."""

LOOK = 0.005
"""[s] Between two looks at what others fetch."""


class Partial:
    """One download. `left_over` tells that others began it, who do not go on: the object may have been replaced since."""

    def __init__(self, folder: CacheFolder, threads: CacheThreads, name: str, url_hash: str) -> None:
        self.name = name
        self.users = 0
        self.opening = asyncio.Lock()
        self.left = asyncio.Event()  # by the last who had it open
        self.left_over = False
        self.journal = Journal()
        self._folder = folder
        self._threads = threads
        self._url_hash = url_hash
        self._files = DownloadFiles(folder, name)
        self._look_at = 0.0
        self._claims = Leases()  # the kernel's locks do not tell bodies of one process from one another

    @property
    def header(self) -> Header | None:
        return self.journal.header

    @property
    def is_begun(self) -> bool:
        """Some process has asked the source, and it answered."""
        return self.header is not None

    @property
    def is_open(self) -> bool:
        return self._files.are_open

    async def open(self) -> bool:
        """False if the object is whole by now."""
        self.journal = Journal()
        opened = await self._threads.run_locked(self._files.open, self._url_hash)
        if opened is not None:
            self.journal, self.left_over = opened
        return opened is not None

    async def close(self) -> None:
        """Gives up all locks."""
        await self._threads.run(self._files.close)

    async def begin(self, header: Header) -> bool:
        """To be called once the source has answered, by who has locked HEADER. False if there is no room."""
        if not await self._threads.run_locked(self._files.reserve, header.total or 0):
            return False
        await self._threads.run(self._files.append, header_line(header))
        self.journal.header = header
        return True

    async def ends_at(self, total: int) -> bool:
        """The end of a stream has come. False if there is no room for it: then those who have it open are the last."""
        assert self.header is not None
        fits = await self._threads.run_locked(self._files.reserve, total)
        if not fits:
            await self.discard()
        # Last: readers that know the end do not wait for any of this.
        header = replace(self.header, total=total)
        await self._threads.run(self._files.append, header_line(header))
        self.journal.header = header
        return fits

    def is_too_large(self, size: int) -> bool:
        """Even an empty cache would have no room for so many [bytes]."""
        return self._folder.size is not None and size > self._folder.size

    async def claim(self, start: int, stop: int) -> Claim | None:
        """Locks the part of [start, stop) that comes before all that is there or locked. None if `start` is.

        Afterwards `journal` is up to date.
        """
        complete = self.journal.complete
        if complete.end_of(start) > start:
            return None
        taken = self._claims.take(start, complete.next_start(start, stop))
        if taken is None:
            await self.look()
            return None
        claim, end = taken
        try:
            if end > start:  # it is locked already, for a claim that was cut
                await self._threads.run(self._files.unlock, claim.stop, end)
                return claim
            got, offset, data = await self._threads.run(self._files.lock, start, claim.stop, self.journal.read)
            self.journal.absorb(offset, data)
            # What others had locked may have come by the time that this got the lock.
            missing = start if complete.end_of(start) > start else complete.next_start(start, got)
            if missing < claim.stop:
                await self._threads.run(self._files.unlock, missing, min(got, claim.stop))
                claim.stop = missing
        except BaseException:
            await self.release(claim)
            raise
        if claim.stop == start:
            self._claims.drop(claim)
            return None
        return claim

    async def look(self) -> None:
        """Brings `journal` up to date, unless that was just done for another body."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            self._look_at = now + LOOK / 2
            self.journal.absorb(*await self._threads.run(self._files.new_lines, self.journal.read))

    async def release(self, claim: Claim) -> None:
        try:
            await self._threads.run(self._files.unlock, claim.start, claim.stop)
        finally:
            self._claims.drop(claim)

    async def write(self, start: int, chunks: Sequence[Chunk]) -> None:
        stop = start + sum(map(len, chunks))
        await self._threads.run(self._files.write, start, stop, chunks)
        self.journal.complete.add(start, stop)

    async def read(self, start: int, stop: int) -> bytes:
        """A piece of [start, stop). Raises CacheError where the file has none of it."""
        data = await self._threads.run(self._files.read, start, stop)
        if not data:
            raise CacheError(f"{self.name} was truncated while it was read")
        return data

    async def discard(self) -> None:
        """Makes the next who needs the object begin anew. Those who have this open may go on with it."""
        await self._threads.run_locked(self._files.discard)

    async def abandon(self) -> None:
        """As `discard`, unless others have it open or the folder is locked; without errors."""
        with suppress(CacheError, BlockingIOError):
            await self._threads.run(self._files.discard_unless_shared)

    async def publish(self, validator: Callable[[str], bool], *, sums: bool) -> None:
        """To be called when `journal.whole`: makes it a shard, unless others have; discards what the validator refuses, and what
        has another checksum than the store's."""
        assert self.header is not None
        record = await self._threads.run(self._files.record, self.header, validator, sums)
        if record is None:
            await self.discard()
        else:
            await self._threads.run_locked(self._files.publish, record)


WRITE = MiB
"""How much is written at a time [bytes]: to hand a write over to a thread and to note it costs 100 µs."""

_LONGEST = 1.0  # [s] until others see what came slowly
_MOST_CHUNKS = 500  # of one write; the system allows 1024


class PartialWriter:
    """Takes the chunks of [start, …) in order. What is a memoryview has to stay as it is until `finish`.

    At most one write is under way, and less than two wait in memory: a slow disk slows the download down.
    """

    def __init__(self, partial: Partial, start: int) -> None:
        self._partial = partial
        self._start = start  # of the chunks that wait
        self._chunks: list[Chunk] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None
        self._since = asyncio.get_running_loop().time()

    async def add(self, chunk: Chunk) -> None:
        """Raises CacheError if what came before could not be written."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        now = asyncio.get_running_loop().time()
        if self._size >= WRITE or len(self._chunks) >= _MOST_CHUNKS or now > self._since + _LONGEST:
            await self._settle()
            chunks, self._chunks = self._chunks, []
            self._writing = asyncio.create_task(self._partial.write(self._start, chunks))
            self._start, self._size, self._since = self._start + self._size, 0, now

    async def finish(self) -> None:
        """Writes the rest. Raises CacheError as `add` does."""
        try:
            await self._settle()
            if self._chunks:
                await self._partial.write(self._start, self._chunks)
        finally:
            self._chunks = []

    async def _settle(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing
