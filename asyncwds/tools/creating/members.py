"""Files that samples are made of: those of a folder, of a ZIP archive, of any tar archive, and those that a recipe lists."""

from __future__ import annotations

import os
import shlex
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from asyncwds.errors import SpecError
from asyncwds.formatting.escaping import printable
from asyncwds.runtime.security import require_local
from asyncwds.tools.opening import open_url, unreadable


class Member(NamedTuple):
    """A file: its path in its folder or archive, with slashes, and what reads it."""

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
    root = Path(folder)
    if not root.is_dir():
        raise SpecError(f"{folder} is no folder", url=folder)
    yield sorted(_walk(root))


def _walk(root: Path) -> Iterator[Member]:
    seen = set()
    for where, folders, files in os.walk(root, followlinks=True, onerror=_raise):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in files:
            path = Path(where, name)
            yield Member(path.relative_to(root).as_posix(), path.read_bytes)


def _raise(error: OSError) -> None:
    raise SpecError(f"a folder cannot be listed: {error}") from error


@contextmanager
def zip_members(path: str) -> Iterator[list[Member]]:
    """In order of their paths."""
    require_local("an archive is not read", path)
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise unreadable(error, "it cannot be read as a ZIP archive", path) from error
    with archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        yield sorted(Member(within(info.filename), partial(_from_zip, archive, info)) for info in files)


def _from_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:  # damaged, encrypted, packed by something unknown
        raise ValueError(str(error)) from error


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
