"""Anything that has a url, as a file to read."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import IO

from asyncwds.engine.openers import open_file
from asyncwds.errors import SampleError, WdsError
from asyncwds.storage.local.readiness import translate_os_error


def open_url(url: str) -> AbstractContextManager[IO[bytes]]:
    """A path, a URL, `pipe:COMMAND`, or `-` for standard input. Raises OSError, and SpecError for what may not be read."""
    if url == "-":
        return nullcontext(sys.stdin.buffer)
    file: AbstractContextManager[IO[bytes]] = open_file(url)
    return file


def unreadable(error: Exception, message: str, url: str | None) -> WdsError:
    """Our error for a file that could not be opened, or whose bytes are not what they should be."""
    if isinstance(error, OSError) and error.errno and url is not None:
        return translate_os_error(error, url)
    return SampleError(f"{message}: {error}", url=url)
