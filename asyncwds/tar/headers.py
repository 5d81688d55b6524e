"""Header blocks of tar archives: fields, checksums, names, extended records. Plain functions of bytes.

Formats: POSIX.1-2017 `pax` ("pax Interchange Format", "ustar Interchange Format") and the GNU tar manual,
"Basic Tar Format". What other writers do is read as the standard library's tarfile reads it.
What makes no sense is a ValueError here; the parser knows where it happened.
"""

from __future__ import annotations

import sys
from zlib import adler32

from asyncwds.formatting.texts import printable

BLOCK = 512
ZEROS = bytes(BLOCK)
SIZE = slice(124, 136)
TYPEFLAG, PREFIX = 156, 345
NEVER = sys.maxsize  # a size that fits into no chunk

PLAIN = ord("0")
_OLD_PLAIN = 0
_REGULAR = b"0\x007"
_WITHOUT_PAYLOAD = b"123456"  # links, devices, directories, whatever their size field says
GNU_SPARSE = ord("S")
PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK = ord("x"), ord("g"), ord("L"), ord("K")
EXTENSIONS = b"xXgLK"  # X is Solaris' x

_GNU_MAGIC = b"ustar  \0"
_GNU = b"GNU.sparse."
_PAIR = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_SPARSE = (_GNU, b"SCHILY.realsize", b"SUN.holesdata")  # GNU tar's, star's, Solaris'
_DIGITS = 20  # of decimal numbers: 64 bits
_CACHED = 4096  # entries of a cache: under 1 MB


def text(raw: bytes) -> str:
    """What is not UTF-8 in a name becomes surrogates, as in names of files (PEP 383), so that nothing is lost."""
    return raw.decode("utf-8", "surrogateescape")


def until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def number(field: bytes) -> int:
    """A numeric field: octal digits, or base-256 after a byte 0x80 (GNU, star). ValueError for others, negative ones too."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = until_nul(field).strip()
    try:
        value = int(digits or b"0", 8)
    except ValueError:
        value = -1
    if value < 0:
        raise ValueError(f"a size or sum is no octal number: {printable(text(field[:24]))!r}")
    return value


def decimal(digits: bytes) -> int:
    """A number in an extended header; ValueError for anything but digits (`int` alone takes signs and underscores)."""
    if not digits.isdigit() or len(digits) > _DIGITS:
        raise ValueError(f"no decimal number: {printable(text(digits[:_DIGITS]))!r}")
    return int(digits)


def byte_sum(data: bytes) -> int:
    """The sum of all bytes. adler32's low half is one more, modulo 65521, which the sum of 256 bytes cannot reach."""
    return sum((adler32(data[start : start + 256]) & 0xFFFF) - 1 for start in range(0, len(data), 256))


def checksum_matches(block: bytes) -> bool:
    """Whether the header's checksum is right, its own field taken as spaces. Some old writers summed signed bytes."""
    try:
        stated = number(block[148:156])
    except ValueError:
        return False
    rest = block[:148] + block[156:]
    total = byte_sum(rest) + 8 * ord(" ")
    return stated == total or stated == total - 256 * sum(byte > 127 for byte in rest)


def full_name(block: bytes) -> str:
    """The name in the header itself. Only POSIX headers have a prefix: GNU's have times in its place, v7's nothing."""
    end = text(until_nul(block[:100]))
    if block[PREFIX] and block[257:262] == b"ustar" and block[257:265] != _GNU_MAGIC:
        return f"{text(until_nul(block[PREFIX:500]))}/{end}"
    return end


def member_name(block: bytes, records: dict[bytes, bytes]) -> str:
    return text(records[b"path"]) if records.get(b"path") else full_name(block)


def is_posix(block: bytes) -> bool:
    """Whether it has the magic of POSIX's and GNU's headers, whatever else is wrong with it."""
    return block[257:262] == b"ustar"


def member(block: bytes, records: dict[bytes, bytes]) -> tuple[str, int, bool]:
    """Name, length of the payload [bytes], whether it is a regular file; `records` are those of its extended headers.

    Raises ValueError for impossible sizes, and for sparse files in forms that only star and Solaris have.
    """
    name = member_name(block, records)
    kind = block[TYPEFLAG]
    if b"sparse" in records:
        raise ValueError(f"sparse member {name[:200]!r} in a form of star or Solaris, which is not supported")
    size = number(block[SIZE])
    if kind in _WITHOUT_PAYLOAD or (kind == _OLD_PLAIN and name.endswith("/")):
        return name, 0, False
    if records.get(b"size"):
        size = decimal(records[b"size"])
    return name, size, kind in _REGULAR or kind == GNU_SPARSE


def pax_records(body: bytes) -> dict[bytes, bytes]:
    """The records of an extended header that bear on names and payloads: path, size, GNU.sparse.…, "sparse" for others of these.

    The name of a sparse file is its path. The pairs that version 0.0 has in records of their own make a map, as 0.1 has it.
    Raises ValueError where the body isn't a sequence of "length keyword=value" lines; NULs may pad its end.
    """
    records = {}
    sparse: list[tuple[bytes, bytes]] = []
    start = 0
    while start < len(body) and body[start]:
        space = body.find(b" ", start, start + _DIGITS + 1)
        if space < 0:
            raise ValueError(f"a record does not begin with its length: {printable(text(body[start : start + 40]))!r}")
        stop = start + decimal(body[start:space])
        keyword, equals, value = body[space + 1 : stop - 1].partition(b"=")
        if not equals or body[stop - 1 : stop] != b"\n":
            raise ValueError(f"a record does not end where it says: {printable(text(body[start : start + 40]))!r}")
        if keyword in (b"path", b"size"):
            records[keyword] = value
        elif keyword.startswith(_SPARSE):
            sparse.append((keyword, value))
        start = stop
    if sparse:
        records.update(_sparse_records(sparse))
    return records


def _sparse_records(found: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    records = {keyword if keyword.startswith(_GNU) else b"sparse": value for keyword, value in found}
    pairs = [value for keyword, value in found if keyword in _PAIR]
    if pairs:
        records[b"GNU.sparse.map"] = b",".join(pairs)
    if records.get(b"GNU.sparse.name"):
        records[b"path"] = records[b"GNU.sparse.name"]
    return records


def means_nothing(body: bytes) -> bool:
    """Whether an extended header is sound and changes neither name nor payload: times, owners, comments."""
    try:
        return not pax_records(body)
    except ValueError:
        return False


class SizeCache(dict[bytes, int]):
    """Size field → size [bytes]; `NEVER` for what has to be judged by itself: impossible, or larger than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __missing__(self, field: bytes) -> int:
        try:
            size = number(field)
        except ValueError:
            return NEVER
        if size > self._most:
            return NEVER
        if len(self) < _CACHED:
            self[field] = size
        return size


class SumCache(dict[bytes, int]):
    """For headers that have `rest` from the typeflag on: checksum field → low half of adler32 over what precedes that field."""

    def __init__(self, rest: bytes) -> None:
        self.rest = rest
        self.others = byte_sum(rest) + 8 * ord(" ")
        """The sum of all bytes behind those, the checksum's own taken as spaces."""

    def __missing__(self, field: bytes) -> int:
        try:
            expected = number(field) - self.others + 1
        except ValueError:
            return -1
        if len(self) < _CACHED:
            self[field] = expected
        return expected

    def for_rest(self, block: bytes) -> SumCache:
        """The cache for headers that end as this one does: this, or a new one."""
        rest = block[TYPEFLAG:]
        return self if rest == self.rest else SumCache(rest)
