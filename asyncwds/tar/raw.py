"""Samples as they stand in an archive: headers, payloads and padding of their members, untouched. No I/O.

A tool that does not change a member writes these bytes again, whatever owner, time or format their headers have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from asyncwds.settings.reading import MAX_HEADER_BYTES
from asyncwds.tar.building import Headers
from asyncwds.tar.grouping import base_plus_ext, is_meta
from asyncwds.tar.headers import BLOCK, ZEROS
from asyncwds.tar.members import Extent, Member
from asyncwds.tar.parser import TarParser

NO_KEY = "members that belong to no sample"
NO_FILE = "links, folders and other entries that are no files"

NEW_HEADER = Headers(user="", group="", mode=0o644, mtime=0, format=None)
"""Of members that are made or renamed: the same bytes whoever makes them, and when."""


class Readable(Protocol):
    """What bytes can be read of at any time: an open file."""

    def read_range(self, start: int, stop: int) -> bytes: ...


class Piece(NamedTuple):
    """Bytes [start, stop) of a chunk that was read, or of a file that can be."""

    source: bytes | Readable
    start: int
    stop: int

    def read(self) -> bytes | memoryview:
        if isinstance(self.source, bytes):
            return memoryview(self.source)[self.start : self.stop]
        return self.source.read_range(self.start, self.stop)

    def cut(self, start: int, stop: int) -> Piece:
        """The part of it that is [start, stop), counted from its own start."""
        return Piece(self.source, self.start + start, self.start + stop)


class RawMember(NamedTuple):
    """A member: `name` in the archive, `field` as samples have it, `size` [bytes] of its value.

    `pieces` are its headers, payload and padding, of which the headers take `head` [bytes] and the payload `stored`. That is less
    than `size` in a sparse member.
    """

    name: str
    field: str
    size: int
    head: int
    stored: int
    pieces: tuple[Piece, ...]

    @property
    def nbytes(self) -> int:
        return sum([stop - start for _, start, stop in self.pieces])

    def read(self) -> bytes:
        """Its value."""
        if self.stored != self.size:
            return self._expand()
        if len(self.pieces) == 1:
            return bytes(self.pieces[0].cut(self.head, self.head + self.stored).read())
        return b"".join([piece.read() for piece in self.pieces])[self.head : self.head + self.stored]

    def _expand(self) -> bytes:
        parser = TarParser(self.name, max_member_bytes=self.size, max_header_bytes=MAX_HEADER_BYTES)
        members = parser.feed(b"".join([piece.read() for piece in self.pieces]))
        if parser.error is not None:
            raise parser.error
        return bytes(members[0][1])

    def renamed(self, name: str, field: str) -> RawMember:
        """The same value under a new header."""
        if self.stored != self.size:
            return new_member(name, field, self.read())
        header = NEW_HEADER(name, self.size)
        pieces = (Piece(header, 0, len(header)), *_behind(self.pieces, self.head))
        return RawMember(name, field, self.size, len(header), self.stored, pieces)


def new_member(name: str, field: str, value: bytes) -> RawMember:
    """A member of its own making."""
    header, padding = NEW_HEADER(name, len(value)), -len(value) % BLOCK
    pieces = (Piece(header, 0, len(header)), Piece(value, 0, len(value)), Piece(ZEROS, 0, padding))
    return RawMember(name, field, len(value), len(header), len(value), tuple(piece for piece in pieces if piece.stop))


class RawSample(NamedTuple):
    """Adjacent members with the same key, in their order. Two may give the same field: what is copied stays as it is.

    `shard` is the index of its shard, `ordinal` its number there, `offset` [bytes] that of its first header.
    """

    key: str
    url: str
    shard: int
    ordinal: int
    offset: int
    members: tuple[RawMember, ...]

    @property
    def nbytes(self) -> int:
        """Bytes in the archive."""
        return sum([stop - start for member in self.members for _, start, stop in member.pieces])

    def pieces(self) -> Iterator[Piece]:
        """Of all members."""
        return (piece for member in self.members for piece in member.pieces)

    def fields(self) -> dict[str, RawMember]:
        """By name, in their order; of two that give the same field, the first, as readers take it."""
        found: dict[str, RawMember] = {}
        for member in self.members:
            found.setdefault(member.field, member)
        return found


class Stray(NamedTuple):
    """Members that no reader gives out, and why."""

    url: str
    shard: int
    reason: str
    number: int

    @property
    def nbytes(self) -> int:
        """They are not given out."""
        return 0


class Chunks:
    """The latest chunks of an archive, as far as they are still needed."""

    def __init__(self) -> None:
        self.end = 0  # offset [bytes] in the archive
        self._chunks: deque[tuple[int, bytes]] = deque()

    def append(self, chunk: bytes) -> None:
        self._chunks.append((self.end, chunk))
        self.end += len(chunk)

    def pieces(self, first: int, stop: int) -> tuple[Piece, ...]:
        """Bytes [first, stop) of the archive."""
        last, chunk = self._chunks[-1]
        if first >= last:
            return (Piece(chunk, first - last, stop - last),)
        return tuple(
            Piece(chunk, max(first, begin) - begin, min(stop - begin, len(chunk)))
            for begin, chunk in self._chunks
            if begin + len(chunk) > first and begin < stop
        )

    def forget(self, before: int) -> None:
        while self._chunks and self._chunks[0][0] + len(self._chunks[0][1]) <= before:
            self._chunks.popleft()


class RawGrouper:
    """Makes samples of the members that a parser finds which reads headers only.

    `pieces` gives bytes [first, stop) of the archive.
    """

    def __init__(self, url: str, shard: int, pieces: Callable[[int, int], tuple[Piece, ...]], ordinal: int = 0) -> None:
        self._url = url
        self._shard = shard
        self._pieces = pieces
        self._waiting: deque[tuple[str, Extent, int]] = deque()  # members that have not come to their end
        self._members: list[RawMember] = []
        self._key: str | None = None
        self._offset = 0
        self._strays = 0
        self.ordinal = ordinal
        """That of the sample that is open, or comes next."""

    @property
    def pending_key(self) -> str | None:
        """Key of the sample that is still open."""
        return self._key

    @property
    def first_needed(self) -> int | None:
        """Offset [bytes] of the first member that has not come to its end."""
        return self._waiting[0][2] if self._waiting else None

    @property
    def open_at(self) -> int | None:
        """Offset [bytes] of the sample that is still open."""
        return None if self._key is None else self._offset

    def add(self, members: list[Member], end: int) -> list[RawSample | Stray]:
        """The samples that these members complete, of which the archive is there up to `end` [bytes].

        A member on whose meaning headers long before its own bear gets one that says all by itself.
        """
        samples: list[RawSample | Stray] = []
        waiting = self._waiting
        waiting.extend(members)
        while waiting:
            name, extent, first = waiting[0]
            stop = extent.stop + -extent.stop % BLOCK
            split = _split(name)
            if self._key is not None and split is not None and split[0] != self._key:
                samples.append(self._complete())
            if stop > end:
                break
            waiting.popleft()
            if split is None:
                self._strays += 1
                continue
            key, field = split
            if self._key is None:
                self._key, self._offset = key, first
            member = RawMember(
                name, field, int(extent), extent.start - first, extent.stop - extent.start, self._pieces(first, stop)
            )
            self._members.append(new_member(name, field, member.read()) if extent.inherits else member)
        return samples

    def finish(self, passed_over: int) -> list[RawSample | Stray]:
        """The last sample, and what was left out; `passed_over` entries were no files."""
        samples: list[RawSample | Stray] = [*self.finish_sample()]
        found = ((NO_KEY, self._strays), (NO_FILE, passed_over))
        samples += [Stray(self._url, self._shard, reason, number) for reason, number in found if number]
        return samples

    def finish_sample(self) -> list[RawSample]:
        """The one that is open, if there is one: nothing of it comes any more."""
        return [] if self._key is None else [self._complete()]

    def _complete(self) -> RawSample:
        assert self._key is not None
        sample = RawSample(self._key, self._url, self._shard, self.ordinal, self._offset, tuple(self._members))
        self._members, self._key = [], None
        self.ordinal += 1
        return sample


def _behind(pieces: tuple[Piece, ...], nbytes: int) -> Iterator[Piece]:
    """What follows the first `nbytes`."""
    for source, start, stop in pieces:
        skipped = min(nbytes, stop - start)
        nbytes -= skipped
        if start + skipped < stop:
            yield Piece(source, start + skipped, stop)


def _split(name: str) -> tuple[str, str] | None:
    """Key and field by the readers' rule; None for a member of no sample."""
    key, _, suffix = name.partition(".")
    if suffix and "/" not in suffix and key and key[0] != "_" and key[-1] != "/":
        return key, suffix.lower()
    if name.startswith("__") and is_meta(name):
        return None
    split = base_plus_ext(name)
    return None if split[0] is None else (split[0], split[1].lower())
