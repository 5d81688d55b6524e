"""Files of any tar archive, as the standard library reads it: members of a key may stand anywhere, and links are followed."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, cast

from asyncwds.errors import TarError, TarHeaderError, TruncatedTarError, WdsError
from asyncwds.runtime.security import require_local
from asyncwds.tools.creating.members import Member, within
from asyncwds.tools.opening import unreadable

_DAMAGED = (OSError, EOFError, ValueError, OverflowError, tarfile.TarError, lzma.LZMAError, zlib.error)
_NOT_READ = "it is no tar archive, or compressed with neither gzip, bzip2 nor xz; `asyncwds cat` reads other compressions"


@contextmanager
def tar_members(path: str) -> Iterator[list[Member]]:
    """In the order of the archive, which is the one that a compressed archive is read in quickly.

    Raises TarError where it is damaged, or has not come to its end.
    """
    require_local("an archive is not read", path)
    try:
        archive = tarfile.open(path)  # noqa: SIM115 - closed below
    except tarfile.ReadError as error:
        raise TarHeaderError(_NOT_READ, url=path, offset=0) from error
    except (OSError, tarfile.TarError) as error:
        raise unreadable(error, "it cannot be read as a tar archive", path) from error
    with archive:
        try:
            files = [(part, info) for part in _parts(archive, path) for info in part.getmembers() if not info.isdir()]
        except WdsError:
            raise
        except _DAMAGED as error:
            raise TarError(f"the archive is damaged: {error}", url=path) from error
        yield [Member(within(info.name), partial(_from_tar, part, info)) for part, info in files]


def _parts(archive: tarfile.TarFile, path: str) -> Iterator[tarfile.TarFile]:
    """The archives that stand one behind another in a file, as the reader of shards takes them."""
    part: tarfile.TarFile | None = archive
    while part is not None:
        part.getmembers()
        yield part
        part = _next_part(part, path)


def _next_part(part: tarfile.TarFile, path: str) -> tarfile.TarFile | None:
    """What follows the end mark. Raises TarError where there is none: at a broken header the library ends without a word."""
    file, start = cast("IO[bytes]", part.fileobj), part.offset
    file.seek(start)
    block, zeros = _read_block(file), 0
    while len(block) == tarfile.BLOCKSIZE and not any(block):
        block, zeros = _read_block(file), zeros + 1
    if not zeros:
        raise _unfinished(block, path, start)
    if len(block) < tarfile.BLOCKSIZE or not _is_header(block):
        return None
    begin = start + zeros * tarfile.BLOCKSIZE
    if zeros == 1:
        raise TarHeaderError("a single zero block stands before a header", url=path, offset=begin)
    file.seek(begin)
    return tarfile.open(fileobj=file, mode="r:")


def _read_block(file: IO[bytes]) -> bytes:
    try:
        return file.read(tarfile.BLOCKSIZE)
    except gzip.BadGzipFile as error:
        if str(error).startswith("Not a gzipped file"):  # what stands behind the stream, which gzip leaves aside as well
            return b""
        raise


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _unfinished(block: bytes, path: str, offset: int) -> TarError:
    if len(block) == tarfile.BLOCKSIZE:
        return TarHeaderError("the checksum of a header is wrong", url=path, offset=offset)
    where = "in a header" if block else "without an end-of-archive mark"
    return TruncatedTarError(f"the archive ends {where}, after {offset + len(block)} bytes", url=path, offset=offset)


def _from_tar(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    if info.type not in tarfile.SUPPORTED_TYPES:  # parts of files in archives of several volumes, lists of folders
        raise ValueError("it is neither a file nor a link to one")
    try:
        file = archive.extractfile(info)
    except KeyError as error:
        raise ValueError(f"it is a link to {info.linkname}, which is not in the archive") from error
    if file is None:
        raise ValueError("it is neither a file nor a link to one")
    with file:
        data = file.read()
    if len(data) < info.size:
        raise ValueError("the archive ends within it")
    return data
