"""The two files of an object that is being downloaded: its bytes, with holes, and the journal. Blocking: called in threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from asyncwds.storage.base import Chunk
from asyncwds.storage.cache.checks import has_checksum, sums_of
from asyncwds.storage.cache.complete import Record
from asyncwds.storage.cache.folder import CacheFolder
from asyncwds.storage.cache.journal import Header, Journal, span_line
from asyncwds.storage.cache.locks import has_alone, lock_span, share_file, unlock_span

_READ = 1 << 20


def _read_boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


_BOOT = _read_boot()  # before there is a connection: later no descriptor may be free


class DownloadFiles:
    """Open after `open`, until `close`. What changes the folder raises BlockingIOError while another process is at that."""

    def __init__(self, folder: CacheFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._file = -1
        self._lines = -1

    @property
    def are_open(self) -> bool:
        return self._file >= 0

    def open(self, url_hash: str) -> tuple[Journal, bool] | None:
        """The journal, and whether others began the download who do not go on; None if the object is whole by now."""
        with self._folder.locked():
            if self._folder.find(self._name) is not None:
                return None
            try:
                return self._open_files(url_hash)
            except BaseException:
                self.close()  # both files or neither: there may be one descriptor left and not two
                raise

    def _open_files(self, url_hash: str) -> tuple[Journal, bool]:
        path = self._folder.part(self._name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._lines = os.open(self._folder.ranges(self._name), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        idle = has_alone(self._lines)
        journal = Journal()
        journal.absorb(0, _read_on(self._lines, 0))
        if idle and not self._is_sound(journal.header, url_hash):
            os.ftruncate(self._file, 0)
            os.ftruncate(self._lines, 0)
            journal = Journal()
        share_file(self._lines)
        return journal, idle

    def _is_sound(self, header: Header | None, url_hash: str) -> bool:
        """Whether a download can be gone on with that nobody else has open.

        What was written before the machine last started may not have reached the disk; and a stream begins anew anyway.
        """
        return (
            header is not None
            and header.ranged
            and header.boot == boot()
            and header.url_hash == url_hash
            and header.total == os.fstat(self._file).st_size
        )

    def close(self) -> None:
        for descriptor in (self._file, self._lines):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lines = -1

    def lock(self, start: int, stop: int, read: int) -> tuple[int, int, bytes]:
        """How far [start, stop) could be locked; then the journal's bytes from `read` on, and where they begin."""
        got = lock_span(self._file, start, stop) if start < stop else start
        return got, *self.new_lines(read)

    def unlock(self, start: int, stop: int) -> None:
        unlock_span(self._file, start, stop)

    def new_lines(self, read: int) -> tuple[int, bytes]:
        return read, _read_on(self._lines, read)

    def append(self, line: bytes) -> None:
        """A line of the journal."""
        os.write(self._lines, line)

    def read(self, start: int, stop: int) -> bytes:
        """A piece of [start, stop)."""
        return os.pread(self._file, min(stop - start, _READ), start)

    def write(self, start: int, stop: int, chunks: Sequence[Chunk]) -> None:
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
        self.append(span_line(start, stop))

    def reserve(self, size: int) -> bool:
        return self._folder.reserve(size, self._file)

    def record(self, header: Header, validator: Callable[[str], bool], sums: bool) -> Record | None:
        """What is kept of a shard; None if the download is no longer the present one, or is refused."""
        path = str(self._folder.part(self._name))
        if not self._folder.has(self._name, self._file):
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

    def publish(self, record: Record) -> None:
        self._folder.publish(self._name, self._file, record)

    def discard(self) -> None:
        self._folder.discard(self._name, self._file)

    def discard_unless_shared(self) -> None:
        self._folder.discard(self._name, self._file, unless_shared=self._lines)


def boot() -> str:
    """Differs from one start of a machine to the next; empty where the system does not tell."""
    return _BOOT


def _read_on(descriptor: int, offset: int) -> bytes:
    found = b""
    while data := os.pread(descriptor, _READ, offset + len(found)):
        found += data
    return found
