"""Headers and padding of archives that are written. Plain functions of names and sizes.

The fields of a header that are the same for all members are laid out once, by the standard library; name, size and checksum
are filled in: 1 µs a header, where `TarInfo.tobuf` takes 13. What does not fit so simply is left to `TarInfo.tobuf` itself.
"""

from __future__ import annotations

import tarfile
import time
from typing import Literal
from zlib import adler32

from asyncwds.errors import SampleError, SpecError
from asyncwds.tar.headers import BLOCK, byte_sum, full_name

Format = Literal[0, 1, 2]
"""tarfile.USTAR_FORMAT, GNU_FORMAT or PAX_FORMAT."""

RECORD = 20 * BLOCK
"""Archives end at a multiple of this [bytes], as tarfile and GNU tar have it."""

_NAME = 100  # [bytes] of the name field
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)
_LARGEST = 0o77777777777  # that eleven octal digits hold
_REMEMBERED = 4096


def size_with_end(position: int) -> int:
    """Bytes of an archive whose members take `position` bytes: two blocks of zeros end it, and more up to the end of a record."""
    return -(-(position + 2 * BLOCK) // RECORD) * RECORD


def ending(position: int) -> bytes:
    """What ends an archive whose members take `position` bytes."""
    return bytes(size_with_end(position) - position)


class Headers:
    """Makes the header of a member: `headers(name, size)`.

    format   None: USTAR, and PAX for a member whose name or size does not fit into it (a name that is long or not ASCII, 8 GiB).
             Otherwise one of tarfile's formats, as tarfile writes it.
    mtime    of all members [s]; None takes the time when a header is made. Only PAX, if asked for, keeps fractions
    user, group, mode   of all members

    Raises SpecError for what no header can hold, and SampleError for a name or size that the `format` asked for cannot.
    """

    def __init__(self, *, user: str, group: str, mode: int, mtime: float | None, format: Format | None) -> None:  # noqa: A002 - tarfile's name
        self._owner = {"uname": user, "gname": group, "mode": mode}
        self._mtime = int(mtime) if mtime is not None and format is None else mtime
        self._mixed = format is None
        self._fallback: Format = tarfile.PAX_FORMAT if format is None else format
        self._time = -1
        self._sizes: dict[int, tuple[bytes, int]] = {}
        self._lay_out(self._mtime or 0)

    def __call__(self, name: str, size: int) -> bytes:
        if self._mtime is None and (now := int(time.time())) != self._time:
            self._time = now
            self._lay_out(now)
        found = self._sizes.get(size) or self._middle(size)
        if found is not None and self._simple and len(name) <= _NAME and name.isascii():
            raw = name.encode("ascii")
            middle, total = found
            # The low half of adler32 is the sum of the bytes plus one, as 100 bytes cannot reach its modulus.
            total += (adler32(raw) & 0xFFFF) - 1
            return b"%b%b%06o\0 %b" % (raw.ljust(_NAME, b"\0"), middle, total, self._rest)
        return self._build_with_tarfile(name, size)

    def _lay_out(self, mtime: float) -> None:
        """The parts around what changes, and whether a header with these values is a single block."""
        self._time_stamp = mtime
        try:
            template = self._tarinfo("", 0).tobuf(self._fallback, "utf-8", "surrogateescape")
        except (ValueError, TypeError, AttributeError) as error:
            raise SpecError(f"no header can hold {self._owner} and mtime={mtime!r}: {error}") from error
        self._simple = len(template) == BLOCK
        self._owners, self._times, self._rest = (
            template[_NAME : _SIZE.start],
            template[_SIZE.stop : _CHECKSUM.start],
            template[_CHECKSUM.stop :],
        )
        self._total = sum(map(byte_sum, (self._owners, self._times, self._rest))) + 8 * ord(" ")
        self._sizes.clear()

    def _middle(self, size: int) -> tuple[bytes, int] | None:
        """What stands between name and checksum, and the sum of all bytes but the name's; None if the size does not fit."""
        if size > _LARGEST:
            return None
        digits = b"%011o\0" % size
        entry = self._owners + digits + self._times, self._total + byte_sum(digits)
        if len(self._sizes) < _REMEMBERED:
            self._sizes[size] = entry
        return entry

    def _tarinfo(self, name: str, size: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size = size
        info.mtime = self._time_stamp
        for field, value in self._owner.items():
            setattr(info, field, value)
        return info

    def _build_with_tarfile(self, name: str, size: int) -> bytes:
        info = self._tarinfo(name, size)
        if self._mixed and self._simple and name.isascii() and size <= _LARGEST:
            try:
                split = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
            except ValueError:
                pass  # no slash where it would have to be
            else:
                if full_name(split) == name:  # tarfile loses the slash of "/" + 100 characters
                    return split
        try:
            return info.tobuf(self._fallback, "utf-8", "surrogateescape")
        except ValueError as error:
            raise SampleError(f"the tar format that was asked for cannot hold {name[:200]!r}, {size} bytes: {error}") from error
