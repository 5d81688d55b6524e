"""What is known of an object while it is being downloaded, as lines that any process may append. No I/O.

A line is its text, a space, and the text's CRC-32. The text is a header (JSON; the last one counts), or a span of bytes
that are there ("start stop", hexadecimal). A line that was cut when its writer was killed, or that another one ran into,
fails its checksum and is passed over: what it said is then fetched again.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from contextlib import suppress
from dataclasses import asdict, dataclass
from zlib import crc32


class Intervals:
    """Disjoint spans in order; those that touch are one."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __iter__(self) -> zip[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def add(self, start: int, stop: int) -> None:
        if start >= stop:
            return
        first, last = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last], self._stops[first:last] = [start], [stop]

    def remove(self, start: int, stop: int) -> None:
        first, last = bisect_right(self._stops, start), bisect_left(self._starts, stop)
        if start >= stop or first >= last:
            return
        left = [(self._starts[first], start)] if self._starts[first] < start else []
        right = [(stop, self._stops[last - 1])] if stop < self._stops[last - 1] else []
        self._starts[first:last] = [begin for begin, _ in left + right]
        self._stops[first:last] = [end for _, end in left + right]

    def end_of(self, position: int) -> int:
        """Where the span that has the byte at `position` ends; `position` itself if none has it."""
        index = bisect_right(self._starts, position) - 1
        return max(position, self._stops[index]) if index >= 0 else position

    def next_start(self, position: int, default: int) -> int:
        """Where the first span at or behind `position` begins, at most `default`."""
        index = bisect_left(self._starts, position)
        return min(self._starts[index], default) if index < len(self._starts) else default


@dataclass(frozen=True, slots=True)
class Header:
    """What the source said of the object. `boot` tells in which run of which machine this was written.

    url is what may be shown of it; url_hash stands for all of it; total is None until the end of a stream has come; checksum is
    that of the whole.
    """

    url: str
    url_hash: str
    total: int | None
    identity: str | None
    ranged: bool
    boot: str
    checksum: str | None = None


class Journal:
    """What the lines read so far say."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self.complete = Intervals()
        self.read = 0
        """How much of the journal was read [bytes]."""
        self._rest = b""

    @property
    def whole(self) -> bool:
        """Every byte of the object is there."""
        total = None if self.header is None else self.header.total
        return total is not None and self.complete.end_of(0) >= total

    def absorb(self, offset: int, data: bytes) -> None:
        """Takes the journal's bytes from `offset` on. What another thread has read meanwhile is no news, but what follows it is."""
        news = data[self.read - offset :]
        self.read += len(news)
        *lines, self._rest = (self._rest + news).split(b"\n")
        for line in lines:
            text, _, check = line.rpartition(b" ")
            if check == b"%08x" % crc32(text):
                self._take(text)

    def _take(self, text: bytes) -> None:
        if text.startswith(b"{"):
            with suppress(TypeError):  # another version's
                self.header = Header(**json.loads(text))
        else:
            start, stop = text.split(b" ")
            self.complete.add(int(start, 16), int(stop, 16))


def header_line(header: Header) -> bytes:
    return _line(json.dumps(asdict(header)).encode())


def span_line(start: int, stop: int) -> bytes:
    return _line(b"%x %x" % (start, stop))


def _line(text: bytes) -> bytes:
    # It begins with a line end too, for the case that the line before it was cut.
    return b"\n%s %08x\n" % (text, crc32(text))
