"""File descriptors: how many connections they are enough for, and what to say where they are not."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

OF_A_LOOP = 3  # an event loop has its selector and a pair of sockets to be woken by


def most_connections() -> int:
    """Half of the descriptors that are free: commands have two pipes, and files of a cache, addresses and others need some too."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:  # none is free, or the system has no such folder
        used = limit // 2
    return max(1, (limit - used) // 2)


def are_used_up(error: OSError) -> bool:
    return error.errno in (errno.EMFILE, errno.ENFILE)


def advice(needed: int | None = None) -> str:
    """For messages of errors that `are_used_up`; `needed` by what could not be done."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = f"this process may have {limit} descriptors open (RLIMIT_NOFILE)"
    more = "" if needed is None else f", and {needed} more are needed"
    return f"{allowed}{more}; raise it with ulimit -n"
