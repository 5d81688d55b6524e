"""The kind of compression of a file, told by its first bytes, whatever its name says."""

from __future__ import annotations

DETECTED_BY = 10  # bytes: they tell a bz2 stream from a name that begins with BZh; the others need fewer


def detect(head: bytes) -> str | None:
    """The compression of a file with these first 10 bytes; None if none is read. A frame to skip counts as zstd."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd") or is_skippable(head):
        return "zstd"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):  # a block, or the end of no blocks
        return "bz2"
    return None


def is_skippable(head: bytes) -> bool:
    """Whether a frame begins here that carries data of a user's own. zstd and lz4 have the same."""
    return head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5
