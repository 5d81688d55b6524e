"""Anything that has a url, as a file to read."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import IO

from asyncwds.engine.schemes import open_file


def open_url(url: str) -> AbstractContextManager[IO[bytes]]:
    """A path, a URL, `pipe:COMMAND`, or `-` for standard input. Raises OSError, and SpecError for what may not be read."""
    if url == "-":
        return nullcontext(sys.stdin.buffer)
    file: AbstractContextManager[IO[bytes]] = open_file(url)
    return file
