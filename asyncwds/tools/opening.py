"""Anything that has a url, as a file to read."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

from asyncwds.engine.schemes import opener_of
from asyncwds.runtime.security import require_local
from asyncwds.shards.urls import local_path, rewritten, scheme_of


def open_url(url: str) -> AbstractContextManager[IO[bytes]]:
    """A path, a URL, `pipe:COMMAND`, or `-` for standard input. Raises OSError, and SpecError for what may not be read."""
    if url == "-":
        return nullcontext(sys.stdin.buffer)
    url = rewritten(url)
    path = local_path(url)
    if path is not None:
        require_local("a local file is not read", url)
        return Path(path).open("rb")
    opened: Any = opener_of(scheme_of(url))(url, "rb", 8192)
    file: AbstractContextManager[IO[bytes]] = opened
    return file
