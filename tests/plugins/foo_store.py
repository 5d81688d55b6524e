"""A store that another package adds: `foo://bucket/name` is a file below a folder, the one of `Foo(root=…)` or $FOO_ROOT.

It reads ranges, lists and writes, and uses nothing of asyncwds but what is documented. Files are small here, so they are read and
written on the loop; a real store would wait for a network.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from asyncwds import Scheme
from asyncwds.errors import ChangedError, NotFoundError, SpecError
from asyncwds.storage import Answer, ObjectRange

PIECE = 1 << 16


@dataclass(frozen=True)
class Foo:
    root: str | None = None

    def path(self, url: str) -> Path:
        root = self.root or os.environ.get("FOO_ROOT")
        if root is None:
            raise SpecError("Foo(root=...) or FOO_ROOT says where foo: urls are", url=url)
        return Path(root, url.partition("://")[2])


class FooBody:
    def __init__(self, file: BinaryIO, answer: Answer, left: int, counters) -> None:
        self.answer = answer
        self._file = file
        self._left = left
        self._counters = counters

    def __aiter__(self) -> FooBody:
        return self

    async def __anext__(self) -> bytes:
        piece = self._file.read(min(PIECE, self._left))
        self._left -= len(piece)
        self._counters.bytes += len(piece)
        if not piece:
            raise StopAsyncIteration
        return piece


class FooFetcher:
    def __init__(self, settings: Foo, access, counters) -> None:
        del access
        self._settings = settings
        self._counters = counters

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer=None) -> AsyncGenerator[FooBody, None]:
        del buffer
        self._counters.requests += 1
        url, start = wanted.url, wanted.start
        try:
            file = self._settings.path(url).open("rb")
        except FileNotFoundError as error:
            raise NotFoundError("no such object", url=url) from error
        with file:
            status = os.fstat(file.fileno())
            current = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
            if wanted.identity not in (None, current):
                raise ChangedError("the object was replaced", url=url, offset=start)
            file.seek(start)
            end = status.st_size if wanted.stop is None else min(wanted.stop, status.st_size)
            yield FooBody(file, Answer(start, status.st_size, current, ranged=True), max(0, end - start), self._counters)

    async def aclose(self) -> None:
        pass


class FooLister:
    def __init__(self, settings: Foo, access) -> None:
        del access
        self._settings = settings

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        folder = prefix[: prefix.rindex("/") + 1]
        here = self._settings.path(folder)
        for path in here.rglob("*") if deep else here.iterdir():
            url = folder + str(path.relative_to(here)) + "/" * path.is_dir()
            if url.startswith(prefix) and not (deep and path.is_dir()):
                yield url

    async def aclose(self) -> None:
        pass


class FooUpload:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, self._temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
        self._file = os.fdopen(descriptor, "wb")
        self._path = path

    async def write(self, data: bytes) -> None:
        self._file.write(data)

    async def commit(self) -> None:
        self._file.close()
        Path(self._temporary).replace(self._path)

    async def abort(self) -> None:
        self._file.close()
        with suppress(FileNotFoundError):  # it was committed
            Path(self._temporary).unlink()


class FooSink:
    def __init__(self, settings: Foo, access, thread) -> None:
        del access, thread
        self._settings = settings

    async def open(self, url: str) -> FooUpload:
        return FooUpload(self._settings.path(url))

    async def aclose(self) -> None:
        pass


SCHEME = Scheme(names=("foo",), settings=Foo(), reader=FooFetcher, writer=FooSink, lister=FooLister)
