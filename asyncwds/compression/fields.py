"""Compressed fields: the suffixes `.gz`, `.zst`, `.xz`, `.bz2` and `.lz4`."""

from __future__ import annotations

from io import BytesIO

from asyncwds.compression.kinds import KINDS
from asyncwds.runtime.units import GiB, KiB, MiB

MAX_UNPACKED = GiB  # [bytes]
_INPUT = 64 * KiB  # zlib gives back what it has not got to: of more at once, more would be copied
_PIECE = MiB


def unpack_field(kind: str, data: bytes, max_bytes: int = MAX_UNPACKED) -> bytes:
    """The content of `data`: all its streams of that kind, as the command-line tools take them; zeros between are padding.

    In memory there is one copy of it, and no more than `max_bytes` [bytes] and a piece. Raises ValueError where it is more, or
    corrupt, EOFError where it is cut, SpecError where zstd or lz4 needs a library that is not installed.
    """
    content = BytesIO()  # the bytes that it has are those that `getvalue` returns
    position = 0
    while position < len(data):
        position = _unpack_stream(kind, data, position, content, max_bytes)
        if data[position : position + 1] == b"\0":
            position = len(data) - len(data[position:].lstrip(b"\0"))
    return content.getvalue()


def _unpack_stream(kind: str, data: bytes, position: int, content: BytesIO, max_bytes: int) -> int:
    """Appends what the stream that begins there holds. Returns where it ends."""
    stream, corrupt = KINDS[kind].decompressor()
    portion = b""
    while not stream.eof:
        try:
            piece = stream.decompress(portion, _PIECE)
            if not piece and not stream.eof:
                portion = data[position : position + _INPUT]
                if not portion:
                    raise EOFError(f"the {kind} stream ends too early")
                position += len(portion)
                piece = stream.decompress(portion, _PIECE)
        except corrupt as error:
            raise ValueError(f"the {kind} stream is corrupt: {error}") from error
        portion = b""
        if content.tell() + len(piece) > max_bytes:
            raise ValueError(f"unpacks to more than {max_bytes} bytes (decode(max_unpacked=...) sets how many may come out)")
        content.write(piece)
    return position - len(stream.unused_data)
