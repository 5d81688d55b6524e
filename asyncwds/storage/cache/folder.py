"""The folder of a cache: what is whole, what was used when, what has to go. Blocking: called in threads.

    DIR/NAME                     a shard
    DIR/.asyncwds/NAME.json      its record; the file's time of modification is the shard's last use
    DIR/.asyncwds/NAME.part      one that is being downloaded: as large as the shard, with holes
    DIR/.asyncwds/NAME.ranges    its journal; who has it open shares a lock on it
    DIR/.asyncwds/lock           locked while files are made, renamed and removed; holds the sum of all sizes
    DIR/.asyncwds/clock          its time of modification is that of the latest use

A shard is trusted if its size and time of modification are those in its record: so it is no matter in which order the
two were renamed, or whether somebody wrote to it since.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asyncwds.formatting.texts import printable
from asyncwds.settings.reading import Cache
from asyncwds.storage.cache.complete import Record, Whole, as_json, read_record
from asyncwds.storage.cache.journal import Journal
from asyncwds.storage.cache.locks import has_alone, lock_file, read_sum, write_sum
from asyncwds.storage.cache.names import INDEX, Entry, find_entries
from asyncwds.storage.local.file import file_identity

LEFTOVER = 24 * 3600 * 10**9
"""[ns] How long a download that nobody goes on with is kept."""

MANY, SPARE = 1000, 64
"""In a cache of many shards, one in so many [bytes] more than needed is freed: to look at all of them for each is too slow."""


class CacheFolder:
    """`now` is the time [ns]; it may jump."""

    def __init__(self, cache: Cache, now: Callable[[], int] = time.time_ns) -> None:
        self.root = Path(cache.dir).expanduser().absolute()
        self.size = cache.size
        self._index = self.root / INDEX
        self._verbose = cache.verbose
        self._now = now
        self._scanned = False

    def path(self, name: str) -> Path:
        return self.root / name

    def part(self, name: str) -> Path:
        return self._index / f"{name}.part"

    def ranges(self, name: str) -> Path:
        return self._index / f"{name}.ranges"

    @property
    def is_begun(self) -> bool:
        """It has been used as a cache."""
        return self._index.is_dir()

    def _record(self, name: str) -> Path:
        return self._index / f"{name}.json"

    # -- reading --------------------------------------------------------------------------------------------------

    def find(self, name: str, *, use: bool = False) -> Whole | None:
        """A shard that is whole, and not written to since; `use` notes that it is used now."""
        path = self.path(name)
        try:
            record = read_record(self._record(name))
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None
        if (status.st_size, status.st_mtime_ns) != (record.size, record.mtime):
            return None
        if use:
            self._touch(name)
        return Whole(name, str(path), file_identity(status), record)

    def _touch(self, name: str) -> None:
        # Time never goes back here, so that what is used later counts as later.
        clock = self._index / "clock"
        with suppress(OSError):  # a folder that may only be read
            latest = clock.stat().st_mtime_ns if clock.exists() else 0
            now = max(self._now(), latest + 1)
            clock.touch()
            for path in (clock, self._record(name)):
                os.utime(path, ns=(now, now))

    def unrecorded(self, name: str) -> int | None:
        """The size [bytes] of a file that this cache knows nothing of."""
        path = self.path(name)
        return path.stat().st_size if path.is_file() and not self._record(name).exists() else None

    def has(self, name: str, descriptor: int) -> bool:
        """The download that is open as `descriptor` is the present one of that name."""
        try:
            return os.path.samestat(self.part(name).stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    # -- writing: each of these raises BlockingIOError while another process is at it ---------------------------------

    def prepare(self) -> None:
        """Makes the folder, or raises an OSError."""
        self._index.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[int]:
        self.prepare()
        with lock_file(str(self._index / "lock")) as descriptor:
            yield descriptor

    def reserve(self, size: int, descriptor: int) -> bool:
        """Makes a download, open as `descriptor`, so many [bytes] large. False if there is no room for it.

        What was not used for longest is removed for it.
        """
        with self.locked() as lock:
            there = os.fstat(descriptor).st_size  # of a stream that has ended: it was not counted until now
            taken, wanted = read_sum(lock) + there, size - there
            if not self._scanned or self._beyond(taken + wanted):
                taken = self._tidy(wanted)
                self._scanned = True
            fits = not self._beyond(taken + wanted)
            if fits:
                os.ftruncate(descriptor, size)
            write_sum(lock, taken + wanted if fits else taken)
            return fits

    def publish(self, name: str, descriptor: int, record: Record) -> bool:
        """Makes the download that is open as `descriptor` a shard. False if it is not the present one of that name."""
        with self.locked():
            if not self.has(name, descriptor):
                return False
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self._write(self._record(name), as_json(record))
            self.ranges(name).unlink(missing_ok=True)
            self.part(name).replace(self.path(name))
        self._touch(name)
        self.say(f"keeps {record.url} ({record.size} bytes) as {name}")
        return True

    def adopt(self, name: str, url: str, url_hash: str, identity: str | None) -> Whole | None:
        """Takes a file for a shard that somebody else has put there."""
        with self.locked() as lock:
            status = self.path(name).stat()
            record = Record(url, url_hash, status.st_size, identity, status.st_mtime_ns)
            self._write(self._record(name), as_json(record))
            write_sum(lock, read_sum(lock) + status.st_size)
        return self.find(name, use=True)

    def discard(self, name: str, descriptor: int, *, unless_shared: int | None = None) -> None:
        """Removes the download that is open as `descriptor`, if it is the present one of that name.

        But not if others have locked its journal, open as `unless_shared`.
        """
        with self.locked() as lock:
            if unless_shared is not None and not has_alone(unless_shared):
                return
            if self.has(name, descriptor):
                self._remove(lock, Entry(0, name, os.fstat(descriptor).st_size, part=True))

    def forget(self, whole: Whole) -> None:
        """Removes a shard that turned out not to be what its record says, unless it was replaced meanwhile."""
        with self.locked() as lock:
            found = self._record(whole.name)
            if found.exists() and found.read_bytes() == as_json(whole.record):
                self._remove(lock, Entry(0, whole.name, whole.record.size, part=False))

    # -- what goes --------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """All shards and downloads, the one that was not used for longest first."""
        return sorted(find_entries(self.root))

    def url(self, entry: Entry) -> str | None:
        """Where it came from, as far as that may be shown; None where nothing says so."""
        try:
            if not entry.part:
                return read_record(self._record(entry.name)).url
            journal = Journal()
            journal.absorb(0, self.ranges(entry.name).read_bytes())
        except (OSError, ValueError, TypeError):
            return None
        return None if journal.header is None else journal.header.url

    def clear(self, chosen: Callable[[Entry], bool]) -> list[Entry]:
        """Removes what is chosen and not being downloaded, and returns that."""
        with self.locked() as lock:
            removed = [entry for entry in self.entries() if (not entry.part or self._is_idle(entry.name)) and chosen(entry)]
            for entry in removed:
                self._remove(lock, entry)
        return removed

    def _tidy(self, wanted: int) -> int:
        """Removes leftovers, and then what it takes to have room for so many [bytes]. Returns what is left [bytes]."""
        entries = self.entries()
        taken = sum(entry.size for entry in entries)
        if self._beyond(taken + wanted) and len(entries) >= MANY:
            wanted += (self.size or 0) // SPARE
        for entry in entries:
            leftover = entry.used < self._now() - LEFTOVER if entry.part else entry.size == 0
            if not leftover and not self._beyond(taken + wanted):
                continue
            if not entry.part or self._is_idle(entry.name):
                self._remove(None, entry)
                taken -= entry.size
                self.say(f"removes {entry.name} ({entry.size} bytes)")
        return taken

    def _is_idle(self, name: str) -> bool:
        """Nobody has the download open."""
        try:
            descriptor = os.open(self.ranges(name), os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            return has_alone(descriptor)
        finally:
            os.close(descriptor)

    def _remove(self, lock: int | None, entry: Entry) -> None:
        # What `entries` goes by is removed last, so that the rest is found again if this is cut short.
        paths = (self.ranges, self.part) if entry.part else (self.path, self._record)
        for path in paths:
            path(entry.name).unlink(missing_ok=True)
        if lock is not None:
            write_sum(lock, max(0, read_sum(lock) - entry.size))

    def _beyond(self, size: int) -> bool:
        return self.size is not None and size > self.size

    def _write(self, path: Path, data: bytes) -> None:
        new = self._index / "new"  # one name is enough while the folder is locked
        new.write_bytes(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        new.replace(path)

    def say(self, what: str) -> None:
        if self._verbose:
            sys.stderr.write(f"# asyncwds cache {printable(what)}\n")
