"""An object that is being downloaded, by this process and any others: a file with holes, and a journal of what is there.

Who fetches a span of it has a lock on that span of the file, so that nobody else does; the kernel frees it when a
process dies. The locks only save requests: what is in the journal was written before, whoever did that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from asyncwds.errors import CacheError
from asyncwds.storage.base import Chunk
from asyncwds.storage.cache.checks import has_checksum, sums_of
from asyncwds.storage.cache.folder import CacheFolder
from asyncwds.storage.cache.journal import Header, Journal, header_line, span_line
from asyncwds.storage.cache.leases import Claim, Leases
from asyncwds.storage.cache.locks import has_alone, lock_span, share_file, unlock_span
from asyncwds.storage.cache.records import Record
from asyncwds.storage.cache.threads import CacheThreads

HEADER = 1 << 62
"""The byte of the file that is locked by who asks the source first."""

END = 1 << 61
"""Beyond every object."""

LOOK = 0.005
"""[s] Between two looks at what others fetch."""

_READ = 1 << 20


def _read_boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


_BOOT = _read_boot()  # before there is a connection: later no descriptor may be free


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
        self._file = -1
        self._lines = -1
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
        return self._file >= 0

    async def open(self) -> bool:
        """False if the object is whole by now."""
        return await self._threads.run_locked(self._open)

    async def close(self) -> None:
        """Gives up all locks."""
        await self._threads.run(self._close)

    async def begin(self, header: Header) -> bool:
        """To be called once the source has answered, by who has locked HEADER. False if there is no room."""
        if not await self._threads.run_locked(self._folder.reserve, header.total or 0, self._file):
            return False
        await self._threads.run(_append, self._lines, header_line(header))
        self.journal.header = header
        return True

    async def ends_at(self, total: int) -> bool:
        """The end of a stream has come. False if there is no room for it: then those who have it open are the last."""
        assert self.header is not None
        fits = await self._threads.run_locked(self._folder.reserve, total, self._file)
        if not fits:
            await self.discard()
        # Last: readers that know the end do not wait for any of this.
        header = replace(self.header, total=total)
        await self._threads.run(_append, self._lines, header_line(header))
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
                await self._threads.run(unlock_span, self._file, claim.stop, end)
                return claim
            got, offset, data = await self._threads.run(self._claim, start, claim.stop)
            self.journal.absorb(offset, data)
            # What others had locked may have come by the time that this got the lock.
            missing = start if complete.end_of(start) > start else complete.next_start(start, got)
            if missing < claim.stop:
                await self._threads.run(unlock_span, self._file, missing, min(got, claim.stop))
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
            self.journal.absorb(*await self._threads.run(self._new_lines))

    async def release(self, claim: Claim) -> None:
        try:
            await self._threads.run(unlock_span, self._file, claim.start, claim.stop)
        finally:
            self._claims.drop(claim)

    async def write(self, start: int, chunks: Sequence[Chunk]) -> None:
        stop = start + sum(map(len, chunks))
        await self._threads.run(self._write, start, stop, chunks)
        self.journal.complete.add(start, stop)

    async def read(self, start: int, stop: int) -> bytes:
        """A piece of [start, stop). Raises CacheError where the file has none of it."""
        data = await self._threads.run(os.pread, self._file, min(stop - start, _READ), start)
        if not data:
            raise CacheError(f"{self.name} was truncated while it was read")
        return data

    async def discard(self) -> None:
        """Makes the next who needs the object begin anew. Those who have this open may go on with it."""
        await self._threads.run_locked(self._folder.discard, self.name, self._file)

    async def abandon(self) -> None:
        """As `discard`, unless others have it open or the folder is locked; without errors."""
        with suppress(CacheError, BlockingIOError):
            await self._threads.run(self._folder.discard, self.name, self._file, unless_shared=self._lines)

    async def publish(self, validator: Callable[[str], bool], *, sums: bool) -> None:
        """To be called when `journal.whole`: makes it a shard, unless others have; discards what the validator refuses, and what
        has another checksum than the store's."""
        record = await self._threads.run(self._record, validator, sums)
        if record is None:
            await self.discard()
        else:
            await self._threads.run_locked(self._folder.publish, self.name, self._file, record)

    # -- in threads ---------------------------------------------------------------------------------------------------

    def _open(self) -> bool:
        self.journal = Journal()
        with self._folder.locked():
            if self._folder.find(self.name) is not None:
                return False
            try:
                self._open_files()
            except BaseException:
                self._close()  # both files or neither: there may be one descriptor left and not two
                raise
        return True

    def _open_files(self) -> None:
        path = self._folder.part(self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._lines = os.open(self._folder.ranges(self.name), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        idle = has_alone(self._lines)
        self.journal.absorb(0, _read_on(self._lines, 0))
        if idle and not self._sound():
            os.ftruncate(self._file, 0)
            os.ftruncate(self._lines, 0)
            self.journal = Journal()
        share_file(self._lines)
        self.left_over = idle

    def _sound(self) -> bool:
        """Whether a download can be gone on with that nobody else has open.

        What was written before the machine last started may not have reached the disk; and a stream begins anew anyway.
        """
        header = self.header
        return (
            header is not None
            and header.ranged
            and header.boot == boot()
            and header.url_hash == self._url_hash
            and header.total == os.fstat(self._file).st_size
        )

    def _close(self) -> None:
        for descriptor in (self._file, self._lines):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lines = -1

    def _record(self, validator: Callable[[str], bool], sums: bool) -> Record | None:
        header, path = self.header, str(self._folder.part(self.name))
        assert header is not None
        if not self._folder.has(self.name, self._file):
            return None
        # Else a file of zeros may be what is left after a power failure.
        getattr(os, "fdatasync", os.fsync)(self._file)
        status = os.fstat(self._file)
        try:
            if not validator(path) or not has_checksum(path, header.checksum):
                return None
            found = sums_of(path) if sums else None
        except FileNotFoundError:  # another process was faster; there is nothing to discard either
            return None
        return Record(header.url, header.url_hash, status.st_size, header.identity, status.st_mtime_ns, found)

    def _claim(self, start: int, stop: int) -> tuple[int, int, bytes]:
        got = lock_span(self._file, start, stop) if start < stop else start
        return got, *self._new_lines()

    def _new_lines(self) -> tuple[int, bytes]:
        offset = self.journal.read
        return offset, _read_on(self._lines, offset)

    def _write(self, start: int, stop: int, chunks: Sequence[Chunk]) -> None:
        if os.fstat(self._file).st_nlink and not os.fstat(self._lines).st_nlink:
            return  # a shard by now: these bytes are in it, and another time of modification would make it one that is not trusted
        left, position = [memoryview(chunk) for chunk in chunks], start
        while left:
            written = os.pwritev(self._file, left, position)
            position += written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if left:
                left[0] = left[0][written:]
        _append(self._lines, span_line(start, stop))


def boot() -> str:
    """Differs from one start of a machine to the next; empty where the system does not tell."""
    return _BOOT


def _read_on(descriptor: int, offset: int) -> bytes:
    found = b""
    while data := os.pread(descriptor, _READ, offset + len(found)):
        found += data
    return found


def _append(descriptor: int, line: bytes) -> None:
    os.write(descriptor, line)
