"""Anything that has a url, as a file to read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import RawIOBase
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import IO

from asyncwds.compression.decompress import Decompressor
from asyncwds.engine.openers import open_file
from asyncwds.errors import SampleError, TrailingBytesError, WdsError
from asyncwds.runtime.security import require_local
from asyncwds.runtime.units import MiB
from asyncwds.shards.urls import local_path
from asyncwds.storage.local.readiness import translate_os_error
from asyncwds.tools.local import open_local


def open_url(url: str) -> AbstractContextManager[IO[bytes]]:
    """A path, a URL, `pipe:COMMAND`, or `-` for standard input. Raises OSError, and SpecError for what may not be read."""
    if url == "-":
        return nullcontext(sys.stdin.buffer)
    file: AbstractContextManager[IO[bytes]] = open_file(url)
    return file


def unpack(file: IO[bytes] | RawIOBase, url: str) -> Iterator[bytes]:
    """What is in a file that may be compressed. Raises TarError where its compression is damaged or goes on with other bytes."""
    decompressor = Decompressor(url)
    while chunk := file.read(MiB):
        yield from decompressor.feed(chunk)
    yield from decompressor.finish()


@contextmanager
def as_local_file(url: str) -> Iterator[str]:
    """The path of a local file; of one from elsewhere, that of a copy, which is there for as long as this is."""
    path = local_path(url)
    if path is not None and url != "-":
        require_local("a local file is not read", url)
        yield path
        return
    with TemporaryDirectory(prefix="asyncwds-") as folder:
        copy = Path(folder, "copy")
        with open_url(url) as file, copy.open("wb") as output:
            copyfileobj(file, output, MiB)
        yield str(copy)


@contextmanager
def as_plain_archive(url: str) -> Iterator[str]:
    """The path of a local archive that is not compressed; of any other one, that of a copy, as above."""
    local = open_local(url)
    if local is not None:
        yield local.path
        return
    with TemporaryDirectory(prefix="asyncwds-") as folder:
        copy = Path(folder, "archive.tar")
        with open_url(url) as file, copy.open("wb") as output, suppress(TrailingBytesError):  # all of the archive is there
            output.writelines(unpack(file, url))
        yield str(copy)


def unreadable(error: Exception, message: str, url: str | None) -> WdsError:
    """Our error for a file that could not be opened, or whose bytes are not what they should be."""
    if isinstance(error, OSError) and error.errno and url is not None:
        return translate_os_error(error, url)
    return SampleError(f"{message}: {error}", url=url)
