"""Memory that processes share: a file without a name, so that nothing is left of it, whichever process is killed.

On Linux it is a memfd, which belongs to no file system: the size of /dev/shm does not bound it. Elsewhere, or where a folder is
asked for, it is a file of a folder whose name is gone before anything is written to it.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path

from asyncwds.errors import SharedMemoryError
from asyncwds.formatting.texts import plural, size
from asyncwds.runtime.process import advice, are_used_up

SHM = "/dev/shm"  # noqa: S108 - the folder that there is for it
ROUNDED_TO = 1 << 16  # [bytes] batches that differ a little fit into the same segment


@dataclass(frozen=True)
class Ring:
    """Where a loader's segments are, and how many it makes at most, for what its errors say."""

    folder: str | None = None
    slots: int = 1
    processes: int = 1

    def needed(self, nbytes: int) -> int:
        return self.slots * self.processes * nbytes


def capacity_for(nbytes: int) -> int:
    """With an eighth to spare, so that batches that grow slowly do not need a new segment each."""
    return -(-(nbytes + nbytes // 8) // ROUNDED_TO) * ROUNDED_TO or ROUNDED_TO


def create_segment(nbytes: int, ring: Ring) -> tuple[int, mmap.mmap]:
    """The descriptor and the mapping of a new segment. Raises SharedMemoryError where there is no room for it."""
    try:
        require_file_size(nbytes, resource.getrlimit(resource.RLIMIT_FSIZE)[0])
        descriptor = _open(ring.folder)
        try:
            return descriptor, _reserved(descriptor, nbytes)
        except BaseException:
            os.close(descriptor)
            raise
    except SharedMemoryError:
        raise
    except OSError as error:
        raise SharedMemoryError(_explanation(error, nbytes, ring)) from error


def map_segment(descriptor: int) -> mmap.mmap:
    """The mapping of a segment that another process made. Closes the descriptor, which the mapping does not need."""
    try:
        return _mapped(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def require_file_size(nbytes: int, limit: int) -> None:
    if limit != resource.RLIM_INFINITY and nbytes > limit:
        raise SharedMemoryError(
            f"a batch needs {size(nbytes)} of shared memory, and files of this process may have {size(limit)} (RLIMIT_FSIZE): "
            "raise it with ulimit -f, or make smaller batches"
        )


def require_room(folder: str, nbytes: int, ring: Ring, free: int) -> None:
    """Before the first batch: whether a folder has room for all of them. Else they would fail, or crash, some time later."""
    if ring.needed(nbytes) > free:
        raise SharedMemoryError(f"{_sizes(nbytes, ring)}, and {folder} has {size(free)} left: {_remedy(folder)}")


def check_room(nbytes: int, ring: Ring) -> None:
    folder = shared_folder(ring.folder)
    if folder is not None:
        try:
            found = os.statvfs(folder)
        except OSError as error:
            raise SharedMemoryError(f"shared memory in {folder} cannot be used: {error.strerror}") from error
        require_room(folder, nbytes, ring, found.f_bavail * found.f_frsize)


def shared_folder(folder: str | None) -> str | None:
    """The folder in which segments are made; None where they are in none."""
    if folder is not None:
        return folder
    if hasattr(os, "memfd_create"):
        return None
    return SHM if Path(SHM).is_dir() else tempfile.gettempdir()


def _open(folder: str | None) -> int:
    folder = shared_folder(folder)
    if folder is None:
        return os.memfd_create("asyncwds-batch", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(dir=folder, prefix="asyncwds-") as file:
        return os.dup(file.fileno())


def _reserved(descriptor: int, nbytes: int) -> mmap.mmap:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, nbytes)  # a file with holes kills who writes to it when there is no room (SIGBUS)
    else:
        os.ftruncate(descriptor, nbytes)
    return _mapped(descriptor, nbytes)


def _mapped(descriptor: int, nbytes: int) -> mmap.mmap:
    # All pages at once: a fault for each would take longer than copying it does.
    return mmap.mmap(descriptor, nbytes, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))


def _explanation(error: OSError, nbytes: int, ring: Ring) -> str:
    if are_used_up(error):
        return f"no file descriptors are left for shared memory: {advice(1)}"
    folder = shared_folder(ring.folder)
    if error.errno in (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT):
        return f"{_sizes(nbytes, ring)}, and there is no room for that in {folder or 'memory'}: {_remedy(folder)}"
    return f"{size(nbytes)} of shared memory cannot be had in {folder or 'memory'}: {error.strerror}"


def _sizes(nbytes: int, ring: Ring) -> str:
    each = f"{plural(ring.slots, 'batch', 'batches')} of {size(nbytes)} in {plural(ring.processes, 'process', 'processes')}"
    return f"{each} need {size(ring.needed(nbytes))} of shared memory"


def _remedy(folder: str | None) -> str:
    larger = "fewer processes, smaller batches or less prefetch"
    if folder == SHM:
        return f"give it more (docker run --shm-size=8g; in Kubernetes an emptyDir with medium: Memory at /dev/shm), or {larger}"
    return larger if folder is None else f"another folder, or {larger}"
