"""Sparse members: files whose holes are not in the archive. Plain functions of bytes; what makes no sense is a ValueError.

GNU tar has four ways to write them (manual, "Sparse Formats"). Each gives the size of the file and a map, pairs of offset and
length, of the pieces that follow one another in the payload.

old GNU    typeflag S; four pairs in the header, and 21 in each block behind it while a flag says that there is another
PAX 0.0    records GNU.sparse.offset and .numbytes, again and again
PAX 0.1    one record GNU.sparse.map, with commas
PAX 1.0    the map is the beginning of the payload: lines of digits, first the number of pairs, padded to a block
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncwds.tar.headers import BLOCK, decimal, number

_PAIR = 24  # bytes of a pair in a header
_IN_HEADER, _MORE_IN_HEADER, _REAL_SIZE = slice(386, 386 + 4 * _PAIR), 482, slice(483, 495)
_IN_BLOCK, _MORE_IN_BLOCK = slice(0, 21 * _PAIR), 504
_SHORTEST = len(b"0\n0\n")  # a pair as lines
_HOLE = bytes(1 << 20)


@dataclass(slots=True)
class Sparse:
    """What is known of a sparse member before its payload. `size` [bytes] is that of the file, with its holes."""

    size: int
    pieces: list[tuple[int, int]] = field(default_factory=list)
    more: bool = False
    """A block with more pairs comes before the payload."""
    map_in_payload: bool = False


def from_header(block: bytes) -> Sparse:
    """The old GNU form."""
    return Sparse(number(block[_REAL_SIZE]), _pairs(block[_IN_HEADER]), more=block[_MORE_IN_HEADER] not in b"\0" + b"0")


def add_block(sparse: Sparse, block: bytes) -> None:
    """Takes one of the blocks behind a header of the old GNU form."""
    sparse.pieces += _pairs(block[_IN_BLOCK])
    sparse.more = block[_MORE_IN_BLOCK] not in b"\0" + b"0"


def from_records(records: dict[bytes, bytes]) -> Sparse | None:
    """The forms in records of a PAX header; None if it is of no sparse member."""
    size = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
    if size is None:
        if any(keyword.startswith(b"GNU.sparse.") for keyword in records):
            raise ValueError("a sparse member without its size")
        return None
    if b"GNU.sparse.major" in records:
        version = records[b"GNU.sparse.major"], records.get(b"GNU.sparse.minor")
        if version != (b"1", b"0"):
            raise ValueError("a sparse member of a version that is not known")
        return Sparse(decimal(size), map_in_payload=True)
    numbers = [decimal(digits) for digits in records.get(b"GNU.sparse.map", b"").split(b",") if digits]
    return Sparse(decimal(size), _pair(numbers))


def expand_sparse(sparse: Sparse, payload: bytes) -> bytes:
    """The file: the pieces, and zeros between them."""
    pieces, position = _map_of(payload) if sparse.map_in_payload else (sparse.pieces, 0)
    if sum(length for _, length in pieces) != len(payload) - position:
        raise ValueError("the map of a sparse member is not that of its payload")
    view, end = memoryview(payload), 0
    parts: list[bytes | memoryview] = []
    for offset, length in pieces:
        if offset < end or offset + length > sparse.size:
            raise ValueError("the map of a sparse member makes no sense")
        parts += [*_zeros(offset - end), view[position : position + length]]
        end, position = offset + length, position + length
    return b"".join([*parts, *_zeros(sparse.size - end)])


def _zeros(length: int) -> list[bytes]:
    """So many in parts that are joined, of the same memory again and again."""
    return [_HOLE] * (length // len(_HOLE)) + [_HOLE[: length % len(_HOLE)]]


def _pairs(raw: bytes) -> list[tuple[int, int]]:
    """Pairs of fields of a header, up to the first that is empty."""
    pairs = []
    for start in range(0, len(raw), _PAIR):
        offset, length = raw[start : start + _PAIR // 2], raw[start + _PAIR // 2 : start + _PAIR]
        if not offset[0] or not length[0]:
            break
        pairs.append((number(offset), number(length)))
    return pairs


def _pair(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2:
        raise ValueError("the map of a sparse member makes no sense")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _map_of(payload: bytes) -> tuple[list[tuple[int, int]], int]:
    """The map at the beginning of the payload, and where that goes on behind it."""
    count, position = _line(payload, 0)
    if count > len(payload) // _SHORTEST:
        raise ValueError("the map of a sparse member is longer than its payload")
    numbers = []
    for _ in range(2 * count):
        value, position = _line(payload, position)
        numbers.append(value)
    return _pair(numbers), position + -position % BLOCK


def _line(payload: bytes, start: int) -> tuple[int, int]:
    stop = payload.find(b"\n", start, start + 21)
    if stop < 0:
        raise ValueError("the map of a sparse member makes no sense")
    return decimal(payload[start:stop]), stop + 1
