"""What comes out of a tar archive: members and their payloads, and who takes them, leaves them out or is told of them."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from asyncwds import checks
from asyncwds.errors import WdsError
from asyncwds.tar.headers import SumCache

Member = tuple[str, Any, int]
"""Name, payload as bytes (its `Extent`, where only headers are read), offset [bytes] of the first header (which may be an
extended one)."""


class Extent(int):
    """Size [bytes] of a member that was passed over; its payload is [start, stop) [bytes] of the archive, without its holes.

    `inherits`: headers long before its own bear on its meaning.
    """

    start: int
    stop: int
    name: str
    inherits = False

    @classmethod
    def of(cls, size: int, start: int, stop: int, name: str) -> Extent:
        extent = cls(size)
        extent.start, extent.stop, extent.name = start, stop, name
        return extent


TakeRun = Callable[[bytes | memoryview, int, int, int, list[Member]], tuple[int, bool]]
"""Called with a chunk, where in it headers of a member begin, where members have to end, the chunk's offset [bytes] in the archive,
and the members before it. Returns where it stopped, and whether that was behind some and at one that it leaves to the parser."""

ReadRun = Callable[[bytes, int, int, int, tuple[SumCache, SumCache], int, int], tuple[int, list[Member]]]
"""Called with a chunk, where in it a header stands, where members have to end, the chunk's offset [bytes] in the archive, forms of
headers that mean no more than they say (of plain members, of PAX headers), and how many bytes those may have. Returns where it
stopped, which may be where it began, and the members before that, by the names in their headers."""

NoteEntry = Callable[[int, str, int], object]
"""Called with typeflag, name and offset [bytes] of a header that is not that of a plain file: extensions (their names are ""),
links, directories, devices, sparse files (`GNU_SPARSE`, whatever their form)."""


class Refused(str):
    """Stands for the name of a member of which `select` or `rename` raised `error`. Whoever takes the members deals with it."""

    __slots__ = ("error",)
    error: Exception


def chooser(select: Callable[[str], bool] | None, rename: Callable[[str], str] | None) -> Callable[[str], str | None]:
    """Both in one: the name to deliver a member under, None to pass it over."""

    def choose(name: str) -> str | None:
        try:
            chosen = name if rename is None else rename(name)
            return chosen if select is None or checks.is_true("select_files", select(chosen)) else None
        except WdsError:  # of the user's own making: not this member is wrong, but the call
            raise
        except Exception as error:  # noqa: BLE001 - user code; the handler of whoever reads decides
            error.add_note(f"in select_files or rename_files, for the member {name!r}")
            refused = Refused()
            refused.error = error
            return refused

    return choose


class OpenPayload:
    """What has come of a payload of `size` [bytes].

    Its memory is taken once it comes in a third chunk, for all of it, and becomes the member's bytes as it is: pieces that are
    joined in the end would be held twice, 200 MB for a member of 100. What a shard brings while another one is read, a chunk at
    most, takes no more than its own length.
    """

    def __init__(self, first: memoryview, size: int) -> None:
        self.missing = size - len(first)
        self._size = size
        self._first: bytes | memoryview = first
        self._whole: BytesIO | None = None

    @property
    def held(self) -> int:
        """Bytes that have come."""
        return self._size - self.missing

    def detach(self) -> None:
        """Copies what is still a view of a chunk."""
        self._first = bytes(self._first)

    def add(self, piece: bytes | memoryview) -> bytes | None:
        """Takes the next piece; returns the payload if it is whole."""
        self.missing -= len(piece)
        if self._whole is None:
            if not self.missing:
                return b"".join((self._first, piece))
            # Zeros come from the system untouched where there are many. Nobody else refers to them, so that BytesIO writes into
            # them, and gives them out without a copy.
            self._whole = BytesIO(bytes(self._size))
            self._whole.write(self._first)
            self._first = b""
        self._whole.write(piece)
        return None if self.missing else self._whole.getvalue()
