"""The other side of a join: what is looked up by key, and comes in any order."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from asyncwds.errors import SampleError

V = TypeVar("V")


class Lookup(Generic[V]):
    """Takes the values of keys out of a source, which is read as far as needed: where both sides have the same order, no further.

    What was passed over waits in memory, and where that would be more than `memory` [bytes], in a temporary SQLite file. `size`
    tells the bytes of a value. All keys are kept. Raises SampleError for one that comes twice.
    """

    def __init__(self, source: Iterable[tuple[str, V]], memory: int, size: Callable[[V], int]) -> None:
        self._source = iter(source)
        self._left = memory
        self._size = size
        self._waiting: dict[str, V] = {}
        self._seen: set[str] = set()
        self._taken: set[str] = set()
        self._spilled: _Spilled | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._spilled is not None:
            self._spilled.close()

    def take(self, key: str) -> V | None:
        """None if there is none. Raises SampleError if it was taken before."""
        if key in self._taken:
            raise SampleError("the key comes twice on the left side of the join", key=key)
        value = self._find(key)
        if value is not None:
            self._taken.add(key)
        return value

    def count_left(self) -> int:
        """How many were not taken. Reads the source to its end."""
        for key, _ in self._source:
            self._see(key)
        return len(self._seen) - len(self._taken)

    def _find(self, key: str) -> V | None:
        if key in self._waiting:
            value = self._waiting.pop(key)
            self._left += self._size(value)
            return value
        if key in self._seen:
            return None if self._spilled is None else self._spilled.pop(key)
        for other, value in self._source:
            self._see(other)
            if other == key:
                return value
            self._wait(other, value)
        return None

    def _see(self, key: str) -> None:
        if key in self._seen:
            raise SampleError("the key comes twice on the right side of the join", key=key)
        self._seen.add(key)

    def _wait(self, key: str, value: V) -> None:
        self._left -= self._size(value)
        if self._left >= 0:
            self._waiting[key] = value
            return
        self._left += self._size(value)
        if self._spilled is None:
            self._spilled = _Spilled()
        self._spilled.add(key, value)


class _Spilled:
    """Values in a file of SQLite. They are pickles of this process, in a folder that no other user may enter."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="asyncwds-")
        self._database = sqlite3.connect(f"{self._folder.name}/join.sqlite", isolation_level=None)
        self._database.execute("pragma journal_mode = off")
        self._database.execute("pragma synchronous = off")
        self._database.execute("create table spilled (key text primary key, value blob) without rowid")

    def add(self, key: str, value: Any) -> None:
        self._database.execute("insert into spilled values (?, ?)", (_as_text(key), pickle.dumps(value, -1)))

    def pop(self, key: str) -> Any:
        with closing(self._database.execute("select value from spilled where key = ?", (_as_text(key),))) as found:
            row = found.fetchone()
        if row is None:
            return None
        self._database.execute("delete from spilled where key = ?", (_as_text(key),))
        return pickle.loads(row[0])  # noqa: S301 - see above

    def close(self) -> None:
        self._database.close()
        self._folder.cleanup()


def _as_text(key: str) -> str:
    """Names in other encodings than UTF-8 have characters that SQLite does not take."""
    return key.encode("utf-8", "surrogateescape").hex() if not key.isascii() else f"+{key}"
