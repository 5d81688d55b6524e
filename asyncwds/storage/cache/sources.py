"""Which URLs a cache keeps, and under which name it knows them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from asyncwds.runtime.security import secure_mode
from asyncwds.shards.urls import local_path, rewritten


def cached_url(url: str, root: Path, *, local: bool) -> str | None:
    """The URL that a cache in the folder `root` knows an object by; None for what it does not keep. Blocking, for a local file.

    Local files are kept where `local` says so, by their absolute paths: a relative one means another file in another folder.
    Never kept are files of the cache itself, which would be removed in place of a copy, and FIFOs, whose bytes come once.
    """
    path = local_path(url)
    if path is None:
        return None if url == "-" else url
    if not local or secure_mode() or "\0" in path:
        return None
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)) or _is_special(path):
        return None
    return str(Path(path).absolute()) if rewritten(url) == url else url


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:  # a network disk that is away: what is kept of it is there all the same
        return False
