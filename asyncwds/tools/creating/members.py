"""Files that samples are made of: those of a folder, of a ZIP archive, and those that a recipe lists."""

from __future__ import annotations

import lzma
import os
import shlex
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from asyncwds.errors import NotFoundError, SpecError
from asyncwds.formatting.texts import printable
from asyncwds.runtime.security import require_local
from asyncwds.tools.opening import as_local_file, open_url, unreadable

_ENCRYPTED = 1  # of the flags of a ZIP entry
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError)  # or packed by something unknown


class Member(NamedTuple):
    """A file: its path in its folder or archive, with slashes, and what reads it, in another process too."""

    path: str
    read: Callable[[], bytes]


def within(path: str) -> str:
    """Without the `./` that `tar -C FOLDER .` puts before the names of all files."""
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path


def is_hidden(path: str) -> bool:
    """What file managers leave behind, and files that their owner does not want to see."""
    parts = path.split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts) or path.endswith(
        ("Thumbs.db", "desktop.ini")
    )


@contextmanager
def folder_members(folder: str) -> Iterator[list[Member]]:
    """In order of their paths. Links are followed, to each folder once."""
    require_local("a folder is not read", folder)
    if not Path(folder).exists():
        raise NotFoundError("there is no such folder", url=folder)
    if not Path(folder).is_dir():
        raise SpecError(f"{folder} is no folder", url=folder)
    yield sorted(_walk(folder), key=_path)


def _path(member: Member) -> str:
    return member.path


def _walk(root: str) -> Iterator[Member]:
    seen = set()
    for where, folders, files in os.walk(root, followlinks=True, onerror=_raise):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        inside = "" if where == root else f"{os.path.relpath(where, root)}/"
        for name in files:
            yield Member(f"{inside}{name}", partial(_read_file, f"{where}/{name}"))


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - a Path takes 6 us
        return file.read()


def _raise(error: OSError) -> None:
    raise SpecError(f"a folder cannot be listed: {error}") from error


@contextmanager
def zip_members(url: str) -> Iterator[list[Member]]:
    """In order of their paths."""
    with as_local_file(url) as path:
        try:
            with zipfile.ZipFile(path) as archive:
                files = [info for info in archive.infolist() if not info.is_dir()]
        except (OSError, zipfile.BadZipFile) as error:
            raise unreadable(error, "it cannot be read as a ZIP archive", url) from error
        yield sorted([Member(within(info.filename), partial(_from_zip, path, info)) for info in files], key=_path)


def _from_zip(path: str, info: zipfile.ZipInfo) -> bytes:
    """Without the archive's directory, which takes long to read where it is large."""
    if info.flag_bits & _ENCRYPTED:
        raise ValueError("it is encrypted")
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        try:
            file.seek(info.header_offset)
            name, extra = struct.unpack("<26xHH", file.read(30))
            file.seek(name + extra, os.SEEK_CUR)
            with zipfile.ZipExtFile(file, "r", info) as unpacked:
                data = unpacked.read()
        except (
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
            struct.error,
            NotImplementedError,
        ) as error:  # damaged, packed by something unknown
            raise ValueError(str(error)) from error
    if len(data) < info.file_size:
        raise ValueError("the archive ends within it")
    return data


@contextmanager
def recipe_members(path: str) -> Iterator[Iterator[Member]]:
    """Those of a recipe, in its order: lines `name source`.

    A name with spaces stands in quotes. The source is a path or URL, `file:PATH`, `text:WORDS` or `pipe:COMMAND`; it goes to the
    end of the line.
    """
    with open_url(path) as file:
        yield _parse_recipe(path, (line.decode("utf-8", "surrogateescape") for line in file))


def _parse_recipe(path: str, lines: Iterable[str]) -> Iterator[Member]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text:
            name, source = _split_line(path, number, text)
            yield Member(name, partial(read_source, source))


def _split_line(path: str, number: int, text: str) -> tuple[str, str]:
    if text[0] in "\"'":
        end = text.find(text[0], 1)
        name, source = shlex.split(text[: end + 1])[0] if end > 0 else "", text[end + 1 :].strip()
    else:
        name, _, source = text.partition(" ") if " " in text else text.partition("\t")
    if not name or not source.strip():
        raise SpecError(f"line {number} is not `name source`: {printable(text[:200])}", url=path)
    return name, source.strip()


def read_source(source: str) -> bytes:
    """What a recipe names: see `recipe_members`."""
    if source.startswith("text:"):
        return source.removeprefix("text:").encode("utf-8", "surrogateescape")
    with open_url(source) as file:
        data: bytes = file.read()
    return data
