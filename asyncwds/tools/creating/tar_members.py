"""Files in tar archives that samples are made of: members of a key may stand anywhere, and links are followed."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from posixpath import dirname, join, normpath
from typing import IO, Any, cast

from asyncwds.errors import TarError, TarHeaderError, TruncatedTarError, WdsError
from asyncwds.storage.listing import look_up
from asyncwds.tools.creating.members import Member, within
from asyncwds.tools.opening import as_plain_archive, unreadable

_DAMAGED = (OSError, EOFError, ValueError, OverflowError, tarfile.TarError)


@contextmanager
def tar_members(source: str) -> Iterator[list[Member]]:
    """Those of one archive after another, in their order; compressed ones and those from elsewhere are unpacked to local files.

    Raises TarError where one is damaged, or has not come to its end.
    """
    with ExitStack() as files:
        found: list[Member] = []
        for url in look_up([source]).urls:
            found += _members(url, files.enter_context(as_plain_archive(url)))
        yield found


def _members(url: str, path: str) -> list[Member]:
    try:
        archive = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except tarfile.ReadError as error:
        raise TarHeaderError("it is no tar archive, or compressed with something that is not read", url=url, offset=0) from error
    except (OSError, tarfile.TarError) as error:
        raise unreadable(error, "it cannot be read as a tar archive", url) from error
    with archive:
        try:
            return [member for part in _parts(archive, url) for member in _of_part(path, part.getmembers())]
        except WdsError:
            raise
        except _DAMAGED as error:
            raise TarError(f"the archive is damaged: {error}", url=url) from error


def _parts(archive: tarfile.TarFile, url: str) -> Iterator[tarfile.TarFile]:
    """The archives that stand one behind another in a file, as the reader of shards takes them."""
    part: tarfile.TarFile | None = archive
    while part is not None:
        part.getmembers()
        yield part
        part = _next_part(part, url)


def _next_part(part: tarfile.TarFile, url: str) -> tarfile.TarFile | None:
    """What follows the end mark. Raises TarError where there is none: at a broken header the library ends without a word."""
    file, start = cast("IO[bytes]", part.fileobj), part.offset
    file.seek(start)
    block, zeros = file.read(tarfile.BLOCKSIZE), 0
    while len(block) == tarfile.BLOCKSIZE and not any(block):
        block, zeros = file.read(tarfile.BLOCKSIZE), zeros + 1
    if not zeros:
        raise _unfinished(block, url, start)
    if len(block) < tarfile.BLOCKSIZE or not _is_header(block):
        return None
    begin = start + zeros * tarfile.BLOCKSIZE
    if zeros == 1:
        raise TarHeaderError("a single zero block stands before a header", url=url, offset=begin)
    file.seek(begin)
    return tarfile.open(fileobj=file, mode="r:")


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _unfinished(block: bytes, url: str, offset: int) -> TarError:
    if len(block) == tarfile.BLOCKSIZE:
        return TarHeaderError("the checksum of a header is wrong", url=url, offset=offset)
    where = "in a header" if block else "without an end-of-archive mark"
    return TruncatedTarError(f"the archive ends {where}, after {offset + len(block)} bytes", url=url, offset=offset)


def _of_part(path: str, entries: list[tarfile.TarInfo]) -> Iterator[Member]:
    by_name = {within(entry.name): entry for entry in entries}
    for entry in entries:
        if not entry.isdir():
            name = within(entry.name)
            yield Member(name, _reader(path, name, entry, by_name))


def _reader(path: str, name: str, entry: tarfile.TarInfo, entries: Mapping[str, tarfile.TarInfo]) -> partial[bytes]:
    file = _follow(name, entry, entries)
    if file is None:
        return partial(_refuse, f"it is a link to {entry.linkname}, which is not in the archive")
    if not file.isfile():  # parts of files in archives of several volumes, lists of folders
        return partial(_refuse, "it is neither a file nor a link to one")
    places: Any = file.sparse or [(0, file.size)]
    return partial(_read, path, file.offset_data, file.size, places)


def _follow(name: str, entry: tarfile.TarInfo, entries: Mapping[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """What a link leads to; None where there is no such entry, or only links in a circle."""
    seen = set()
    while entry.islnk() or entry.issym():
        name = within(entry.linkname) if entry.islnk() else normpath(join(dirname(name), entry.linkname))
        if name in seen or name not in entries:
            return None
        seen.add(name)
        entry = entries[name]
    return entry


def _refuse(message: str) -> bytes:
    raise ValueError(message)


def _read(path: str, start: int, size: int, places: list[tuple[int, int]]) -> bytes:
    """A file of `size` [bytes], of which those at the places (offset, bytes) stand in the archive from `start` on."""
    with open(path, "rb") as file:  # noqa: PTH123 - a Path takes 6 us
        file.seek(start)
        pieces = [(offset, file.read(nbytes), nbytes) for offset, nbytes in places]
    if any(len(data) < nbytes for _, data, nbytes in pieces):
        raise ValueError("the archive ends within it")
    if places == [(0, size)]:
        return pieces[0][1]
    whole = bytearray(size)
    for offset, data, nbytes in pieces:
        whole[offset : offset + nbytes] = data
    return bytes(whole)
