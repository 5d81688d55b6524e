"""What others may not touch now: claims on spans of a download within a process, and locks on files, which the kernel frees when
their holder dies. None of these functions waits.

Locks on files (flock) and those on spans (OFD locks, Linux) belong to an open file, not to a process: two in one process exclude
each other, and closing one lets the others be. Over NFS both need a server with locks, and are freed when the lease of a machine
that died has run out.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_FLOCK = struct.Struct("hhqqi0q")  # struct flock of 64-bit Linux: type, whence, start, length, pid
_OFD = hasattr(fcntl, "F_OFD_SETLK")


@contextmanager
def lock_file(path: str) -> Iterator[int]:
    """The descriptor of a file, made if need be, that nobody else has locked so. Raises BlockingIOError if another has."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def share_file(descriptor: int) -> None:
    """Locks an open file together with others that share it. Raises BlockingIOError while one has it alone."""
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def has_alone(descriptor: int) -> bool:
    """Whether nobody else has locked an open file; then it is locked for this one alone."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_span(descriptor: int, start: int, stop: int) -> int:
    """Locks the part of [start, stop) that comes before what others have locked. Returns its end, `start` if there is none.

    Where the system has no such locks (macOS) it locks nothing and returns `stop`.
    """
    while _OFD and start < stop:
        try:
            _set(descriptor, fcntl.F_WRLCK, start, stop)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            stop = max(start, _first_conflict(descriptor, start, stop))
        else:
            return stop
    return stop


def unlock_span(descriptor: int, start: int, stop: int) -> None:
    if _OFD and start < stop:  # no length would be the rest of the file
        _set(descriptor, fcntl.F_UNLCK, start, stop)


def _set(descriptor: int, kind: int, start: int, stop: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, start, stop - start, 0))


def _first_conflict(descriptor: int, start: int, stop: int) -> int:
    """Where one of the locks in the way begins; `stop` if there is none any more."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, stop - start, 0)
    kind, _, begin, *_ = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    return stop if kind == fcntl.F_UNLCK else begin


@dataclass(slots=True, eq=False)
class Claim:
    """[start, stop) is being fetched, and that has come as far as `position`. `stop` may move to the front meanwhile."""

    start: int
    stop: int
    position: int


class Leases:
    """Spans that do not overlap, each fetched by one body."""

    def __init__(self) -> None:
        self._held: list[Claim] = []

    def take(self, start: int, stop: int) -> tuple[Claim, int] | None:
        """A claim on what comes of [start, stop) before other claims; None if one has `start` and will soon be there.

        A body that has far to go till `start` leaves the rest to the new one: so a slow part can be split. The number is where
        the old claim ended then, else `start`.
        """
        end = start
        for held in self._held:
            if held.start <= start < held.stop:
                if held.position >= start:
                    return None
                end, held.stop = held.stop, start
                stop = min(stop, end)
            elif start < held.start < stop:
                stop = held.start
        claim = Claim(start, stop, start)
        self._held.append(claim)
        return claim, end

    def drop(self, claim: Claim) -> None:
        self._held = [held for held in self._held if held is not claim]


def read_sum(lock: int) -> int:
    """The sum of sizes [bytes] that the lock file holds; 0 where a process was killed while it wrote it."""
    digits = os.pread(lock, 32, 0)
    return int(digits) if digits.isdigit() else 0


def write_sum(lock: int, size: int) -> None:
    os.pwrite(lock, b"%020d" % size, 0)
