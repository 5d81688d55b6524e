"""Headers of small members, many at a time by numpy: what `TarParser` makes of them one by one.

A run consists of plain forms only and ends before the first block that is odd in any way: that one, and its error, are the
parser's. Whoever has numpy loaded gets it from `scanner.find_run_reader`: to import it takes a tenth of a second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncwds.tar import headers
from asyncwds.tar.headers import BLOCK, SumCache
from asyncwds.tar.members import Member

_FRONT, _SUM, _FORM = slice(148), slice(148, 156), slice(headers.TYPEFLAG, BLOCK)
# The last byte of a link's name, the magic and a byte of the version: the same in all headers of an archive.
_MARK = slice(256, 264)
_TIME = b" mtime="
_EIGHTS = 8 ** np.arange(10, -1, -1, dtype=np.int64)

LEAST = 32 * BLOCK  # each step takes some microseconds, however few headers there are

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Blocks = NDArray[np.uint8]


def read_run(  # noqa: PLR0917 - as `TakeRun`, and what the parser knows of headers
    chunk: bytes, pos: int, fit: int, base: int, forms: tuple[SumCache, SumCache], most: int, most_extended: int, least: int = LEAST
) -> tuple[int, list[Member]]:
    """Members of `chunk[pos:fit]` from the header at `pos` on, if that is `least` [bytes]; see `ReadRun`."""
    plain, pax = forms
    if fit - pos < least:
        return pos, []
    blocks = np.frombuffer(chunk, np.uint8, (fit - pos) // BLOCK * BLOCK, pos).reshape(-1, BLOCK)
    rows = _candidates(blocks, plain)
    heads = blocks.take(rows, axis=0)
    sizes = _octal(heads[:, headers.SIZE], 11)
    extended = heads[:, headers.TYPEFLAG] == headers.PAX
    allowed = (sizes >= 0) & (sizes <= np.where(extended, most_extended, most))
    following = rows + 1 + (sizes + (BLOCK - 1)) // BLOCK
    starts = (rows + 1) * BLOCK + pos
    count = _leading(_all_sound(heads, extended, plain, pax) & allowed & _are_joined(rows, following, len(blocks)))
    if extended.any():
        count = _with_members(chunk, starts[:count], sizes[:count], extended[:count])
    if not count:
        return pos, []
    taken, offsets = _members(rows[:count], extended[:count])
    begins, stops = starts[taken], (starts + sizes)[taken]
    data = [chunk[begin:stop] for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True)]
    found = zip(_names(heads[taken]), data, (offsets * BLOCK + (base + pos)).tolist(), strict=True)
    return pos + int(following[count - 1]) * BLOCK, list(found)


def _candidates(blocks: Blocks, plain: SumCache) -> Numbers:
    """Which blocks have what all headers of the archive have: these, and payloads that are archives."""
    mark = plain.rest[_MARK.start - _FORM.start : _MARK.stop - _FORM.start]
    if not mark.strip(b"\0"):  # no form is known, or one of before there was a magic
        return np.zeros(0, np.int64)
    return np.flatnonzero(blocks[:, _MARK].copy().view(np.uint64)[:, 0] == np.frombuffer(mark, np.uint64))


def _are_joined(rows: Numbers, following: Numbers, end: int) -> Flags:
    """Whether each begins where the one before ends, and ends in time."""
    joined: Flags = following <= end
    joined[:1] &= rows[:1] == 0
    joined[1:] &= rows[1:] == following[:-1]
    return joined


def _all_sound(heads: Blocks, extended: Flags, plain: SumCache, pax: SumCache) -> Flags:
    if not extended.any():
        return _are_sound(heads, plain)
    sound = np.empty(len(heads), np.bool_)
    for which, form in ((extended, pax), (~extended, plain)):
        sound[which] = _are_sound(heads[which], form)
    return sound


def _are_sound(heads: Blocks, form: SumCache) -> Flags:
    """Whether they have that form, and the right checksum."""
    sums = heads[:, _FRONT].sum(axis=1, dtype=np.uint32) + form.others
    right: Flags = _octal(heads[:, _SUM], 6) == sums
    if heads[:, _FORM].tobytes() != form.rest * len(heads):
        rest = np.frombuffer(form.rest.ljust(BLOCK - _FORM.start), np.uint8)
        right &= (heads[:, _FORM] == rest).all(axis=1)
    return right


def _octal(fields: Blocks, digits: int) -> Numbers:
    """Numbers of just so many octal digits, with NUL or spaces behind; negative ones for other fields."""
    numbers = fields[:, :digits] ^ np.uint8(ord("0"))
    ends = fields[:, digits:] & ~np.uint8(ord(" "))
    values: Numbers = numbers.astype(np.int64) @ _EIGHTS[-digits:]
    if (numbers < 8).all() and not ends.any():
        return values
    return np.where((numbers < 8).all(axis=1) & ~ends.any(axis=1), values, -1)


def _leading(flags: Flags) -> int:
    """How many are true before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())


def _with_members(chunk: bytes, starts: Numbers, sizes: Numbers, extended: Flags) -> int:
    """How many of the headers to take: up to an extended one that means something, or has no member behind it."""
    wrong = extended & np.append(extended[1:], [True])[: len(extended)]
    which = np.flatnonzero(extended & ~wrong)
    starts, sizes = starts[which], sizes[which]
    for number in np.flatnonzero(~_are_times(np.frombuffer(chunk, np.uint8), starts, sizes)).tolist():
        start = int(starts[number])
        wrong[which[number]] = not headers.means_nothing(chunk[start : start + int(sizes[number])])
    return _leading(~wrong)


def _are_times(chunk: Blocks, starts: Numbers, sizes: Numbers) -> Flags:
    """Whether extended headers are what tarfile and webdataset put before each member: one record of two digits, a time."""
    begins = chunk[starts[:, None] + np.arange(2 + len(_TIME))]
    length = begins[:, :2] - np.uint8(ord("0"))
    sound: Flags = (length < 10).all(axis=1) & (length @ np.array([10, 1], np.int64) == sizes)
    sound &= (begins[:, 2:] == np.frombuffer(_TIME, np.uint8)).all(axis=1) & (chunk[starts + sizes - 1] == ord("\n"))
    return sound


def _members(rows: Numbers, extended: Flags) -> tuple[Numbers | slice, Numbers]:
    """Which headers are those of members, and the first block of each."""
    if not extended.any():
        return slice(len(rows)), rows
    taken = np.flatnonzero(~extended)
    behind = extended[taken - 1] & (taken > 0)
    return taken, rows[taken - behind]


def _names(heads: Blocks) -> list[str]:
    raw: list[bytes] = heads[:, :100].copy().view("S100")[:, 0].tolist()
    try:
        names = b"\0".join(raw).decode().split("\0")
    except UnicodeDecodeError:
        names = []
    # A name may end before other bytes, and what is not UTF-8 has a rule of its own.
    return names if len(names) == len(raw) else [headers.text(headers.until_nul(each)) for each in raw]
