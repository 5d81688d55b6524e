"""How long a Matroska or WebM file says it is: FFmpeg takes one that ends between two frames for a whole one."""

from __future__ import annotations

from struct import unpack_from

HEAD = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"


def is_cut(data: bytes) -> bool:
    """Whether bytes are missing at the end. What was recorded as a live stream does not say how long it is."""
    if not data.startswith(HEAD):
        return False
    head = _element(data, len(HEAD))
    if head is None or not data.startswith(_SEGMENT, head):
        return False
    return (_element(data, head + len(_SEGMENT)) or 0) > len(data)


def _element(data: bytes, at: int) -> int | None:
    """Where the element ends whose size stands `at` this place, behind its name; None if it does not say.

    Of a size the first byte says, by its zeros in front, how many bytes it has; all of its bits set is "unknown".
    """
    width = 9 - data[at].bit_length() if at < len(data) else 0
    if not 1 <= width <= 8 or at + width > len(data):
        return None
    bits = 7 * width
    size: int = unpack_from(">Q", data[at : at + width].rjust(8, b"\0"))[0] & ((1 << bits) - 1)
    return None if size == (1 << bits) - 1 else at + width + size
