"""The members of an archive, damaged or not: behind damage it goes on at the next sound header. Reads headers only.

Where a header is damaged it is not known what stands behind it. If its size is right, the next header is where that says; otherwise
the next block that is a header is taken for one. So the members of an archive within the lost member may come out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from asyncwds.errors import TarError, TarHeaderError, TrailingBytesError
from asyncwds.runtime.units import MiB
from asyncwds.settings.reading import Prefetch
from asyncwds.tar import headers
from asyncwds.tar.grouping import base_plus_ext, is_meta
from asyncwds.tar.headers import BLOCK, ZEROS
from asyncwds.tar.members import Member
from asyncwds.tar.parser import TarParser
from asyncwds.tar.raw import Piece, RawMember, new_member
from asyncwds.tools.local import LocalShard, ranges_to_read

_SEARCHED = MiB


class Damage(NamedTuple):
    """Bytes [start, stop) of the archive are lost; `cut` is the member that they begin with, where that is known."""

    start: int
    stop: int
    message: str
    cut: str | None
    place: int
    """How many members stand before it."""


class Found(NamedTuple):
    member: RawMember
    offset: int


class Entry(NamedTuple):
    """What is no file: typeflag, name, offset [bytes]."""

    kind: int
    name: str
    offset: int


@dataclass
class Salvaged:
    """What is left of an archive, in order. `ends_early`: what stood behind the last member is not known."""

    members: list[Found] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    ends_early: bool = False


def salvage(file: LocalShard, limits: Prefetch) -> Salvaged:
    """All members that are whole. Raises FetchError where the file cannot be read."""
    found = Salvaged()
    position: int | None = 0
    while position is not None:
        position = _read_from(file, position, limits, found)
    return found


def _read_from(file: LocalShard, position: int, limits: Prefetch, found: Salvaged) -> int | None:
    """Reads up to the next damage. Returns where to go on; None at the end."""
    parser = TarParser(
        file.url,
        total=file.size,
        headers_only=True,
        max_member_bytes=limits.max_member_bytes,
        max_header_bytes=limits.max_header_bytes,
        offset=position,
        note=lambda kind, name, offset: _note(found, kind, name, offset),
    )
    for start, stop in ranges_to_read(parser, position, file.size):
        members = parser.feed(file.read_range(start, stop))
        rebuild = parser.depends_on_earlier
        found.members += [Found(_raw(member, file, rebuild=rebuild), member[2]) for member in members]
    error = parser.finish()
    if error is None or isinstance(error, TrailingBytesError):
        return None
    return _after(error, parser.cut_member, file, found)


def _after(error: TarError, cut: str | None, file: LocalShard, found: Salvaged) -> int | None:
    start = error.offset or 0
    if not isinstance(error, TarHeaderError):
        found.ends_early = True
        lost_padding = (
            cut is not None and found.members and found.members[-1].member.name == cut and found.members[-1].offset == start
        )
        if start < file.size and not lost_padding:
            found.damages.append(Damage(start, file.size, error.message, cut, len(found.members)))
        return None
    following = find_header(file, start)
    stop = file.size if following is None else following
    found.damages.append(Damage(start, stop, error.message, cut, len(found.members)))
    found.ends_early = following is None
    return following


def find_header(file: LocalShard, damaged: int) -> int | None:
    """Offset [bytes] of the next sound header behind a damaged one."""
    block = file.read_range(damaged, min(damaged + BLOCK, file.size))
    try:
        size = headers.number(block[headers.SIZE]) if len(block) == BLOCK else 0
    except ValueError:
        size = 0
    stated = damaged + BLOCK + size + -size % BLOCK
    if stated + BLOCK <= file.size and _is_header(file.read_range(stated, stated + BLOCK)):
        return stated
    for start in range(damaged + BLOCK, file.size, _SEARCHED):
        data = file.read_range(start, min(start + _SEARCHED, file.size))
        for place in range(0, len(data) - BLOCK + 1, BLOCK):
            if data[place + 257 : place + 262] == b"ustar" and _is_header(data[place : place + BLOCK]):
                return start + place
    return None


def _is_header(block: bytes) -> bool:
    return headers.is_posix(block) and headers.checksum_matches(block)


def _raw(member: Member, file: LocalShard, *, rebuild: bool) -> RawMember:
    """With headers that say all by themselves, if those before bear on its meaning, or its zeros are not there."""
    name, extent, first = member
    padded = extent.stop + -extent.stop % BLOCK
    pieces: tuple[Piece, ...] = (Piece(file, first, min(padded, file.size)),)
    if padded > file.size:
        pieces += (Piece(ZEROS, 0, padded - file.size),)
    raw = RawMember(name, field_of(name), int(extent), extent.start - first, extent.stop - extent.start, pieces)
    if raw.stored != raw.size:  # sparse
        return new_member(name, raw.field, raw.read())
    return raw.renamed(name, raw.field) if rebuild else raw


def field_of(name: str) -> str:
    """As samples have it; "" for a member of no sample."""
    return ("" if is_meta(name) else base_plus_ext(name)[1] or "").lower()


def _note(found: Salvaged, kind: int, name: str, offset: int) -> None:
    if kind not in headers.EXTENSIONS and kind != headers.GNU_SPARSE:
        found.entries.append(Entry(kind, name, offset))
