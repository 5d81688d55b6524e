"""Compressed fields: the suffixes `.gz`, `.zst`, `.xz` and `.bz2`."""

from __future__ import annotations

from asyncwds.compression import STREAMS
from asyncwds.model import GiB

MAX_UNPACKED = 4 * GiB  # [bytes]: as much as a member of a shard may have by default
SUFFIXES = {"gz": "gzip", "zst": "zstd", "xz": "xz", "bz2": "bz2"}


def unpacked(kind: str, data: bytes, max_bytes: int = MAX_UNPACKED) -> bytes:
    """The content of `data`: all its streams of that kind, as the command-line tools take them; zeros between are padding.

    Raises ValueError where it is more than `max_bytes` [bytes] or corrupt, EOFError where it is cut, SpecError where zstd
    needs a library that is not installed.
    """
    pieces = []
    left = max_bytes
    while data:
        stream, corrupt = STREAMS[kind]()
        try:
            piece = stream.decompress(data, left + 1)
        except corrupt as error:
            raise ValueError(f"the {kind} stream is corrupt: {error}") from error
        if len(piece) > left:
            raise ValueError(f"unpacks to more than {max_bytes} bytes")
        if not stream.eof:
            raise EOFError(f"the {kind} stream ends too early")
        pieces.append(piece)
        left -= len(piece)
        data = stream.unused_data.lstrip(b"\0")
    return b"".join(pieces)
