"""Compressed shards: gzip, zstd, xz, bz2 and lz4, recognised by their first bytes, whatever the name says; and compressed fields,
by the suffixes `.gz`, `.zst`, `.xz`, `.bz2` and `.lz4`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO

from asyncwds.compression.foreign import foreign
from asyncwds.compression.kinds import KINDS, PackedStream
from asyncwds.errors import TarHeaderError, TrailingBytesError, TruncatedTarError
from asyncwds.runtime.units import GiB, KiB, MiB

DETECTED_BY = 10  # bytes: they tell a bz2 stream from a name that begins with BZh; the others need fewer
_BZ2_BLOCKS = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")  # a block, or the end of no blocks: names begin with BZh too
_FRAME_KNOWN_BY = 8  # of a skippable frame: magic and length
_INPUT = 64 * KiB  # at a time: zlib copies what it did not get to
_PIECE = MiB


def detect(head: bytes) -> str | None:
    """The compression of a file with these first 10 bytes; None if none is read. A frame to skip counts as zstd."""
    for name, kind in KINDS.items():
        if head.startswith(kind.magic) and (name != "bz2" or head[4:10] in _BZ2_BLOCKS):
            return name
    return "zstd" if is_skippable(head) else None


def is_skippable(head: bytes) -> bool:
    """Whether a frame begins here that carries data of a user's own. zstd and lz4 have the same."""
    return head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5


class Decompressor:
    """Decompresses the bytes of one object; what is not compressed goes through untouched.

    Streams one after the other are one content, as for `gzip -d`; zeros between and after them are padding. Anything else
    behind a stream is left unread, with an error in `trailing`.
    """

    def __init__(self, url: str) -> None:
        self.compressed = False
        """Known when the first piece comes, or the end."""
        self.trailing: TrailingBytesError | None = None
        self._url = url
        self._kind = ""
        self._plain = False
        self._head = b""  # the beginning of what may be a stream, too short yet to tell
        self._to_skip = 0  # bytes of a skippable frame
        self._stream: PackedStream | None = None  # None between streams
        self._corrupt: type[Exception] = zlib.error
        self._offset = 0  # in the decompressed bytes

    @property
    def kind(self) -> str | None:
        """One of `KINDS`, where it is compressed."""
        return self._kind or None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The bytes that the chunk gives; if it is compressed in pieces of at most 1 MiB, each made when it is asked for.

        To be used up before the next call. Raises TarHeaderError where a stream is corrupt (what the last 64 KiB of input
        had given by then may be lost), SpecError if it is zstd or lz4 and there is no library for it.
        """
        if self._stream is None and not self._plain:
            chunk = self._begin(chunk)
        if self._plain:
            yield chunk
            return
        for start in range(0, len(chunk), _INPUT):
            yield from self._pieces(chunk[start : start + _INPUT])

    def finish(self) -> Iterator[bytes]:
        """To be called at the end of input: bytes held back. Raises TruncatedTarError if a stream is not complete."""
        if self._head:
            head = self._begin(b"", at_end=True)
            if self._plain:
                yield head
                return
            yield from self._pieces(head)
        if self._stream is not None or self._to_skip:
            raise TruncatedTarError(f"the {self._kind} stream ends too early", url=self._url, offset=self._offset)

    def _begin(self, data: bytes, *, at_end: bool = False) -> bytes:
        """Looks for a stream where one may begin. Returns what there is of it, or of a file that is not compressed."""
        data = self._head + data
        self._head = b""
        while True:
            if self._to_skip:
                skipped = min(self._to_skip, len(data))
                data, self._to_skip = data[skipped:], self._to_skip - skipped
            if self.compressed:
                data = data.lstrip(b"\0")
            if self.trailing is not None or not data:
                return b""
            if len(data) < DETECTED_BY and not at_end:
                self._head = data
                return b""
            if not is_skippable(data):
                break
            self.compressed, self._kind = True, self._kind or "zstd"
            self._to_skip = _FRAME_KNOWN_BY + int.from_bytes(data[4:_FRAME_KNOWN_BY], "little")
        return self._open(data)

    def _open(self, data: bytes) -> bytes:
        kind = detect(data)
        if kind is not None:
            self._kind, self.compressed = kind, True
            self._stream, self._corrupt = KINDS[kind].decompressor()
            return data
        if not self.compressed:
            self._plain = True
            return data
        if not self._offset and (other := foreign(data)):
            raise TarHeaderError(f"behind a frame to be skipped, this is {other}", url=self._url, offset=0)
        message = f"behind the end of the {self._kind} stream come bytes that are no stream"
        self.trailing = TrailingBytesError(message, url=self._url, offset=self._offset)
        return b""

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._stream is None:
                data = self._begin(data)
                if self._stream is None:
                    return
            piece = self._decompress(self._stream, data)
            if piece:
                yield piece
            if self._stream.eof:
                data = self._stream.unused_data
                self._stream = None
            elif len(piece) < _PIECE:
                return
            else:
                data = b""  # the stream holds what it did not get to

    def _decompress(self, stream: PackedStream, data: bytes) -> bytes:
        try:
            piece = stream.decompress(data, _PIECE)
        except self._corrupt as error:
            wants_more = "memory" in str(error).lower()  # all that xz's and zstd's libraries tell of it
            what = "needs more memory than is allowed, to be unpacked" if wants_more else "is corrupt"
            raise TarHeaderError(f"the {self._kind} stream {what}", url=self._url, offset=self._offset) from error
        self._offset += len(piece)
        return piece


MAX_UNPACKED = GiB  # [bytes]
_PACKED_PIECE = 64 * KiB  # zlib gives back what it has not got to: of more at once, more would be copied
_UNPACKED_PIECE = MiB


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
            piece = stream.decompress(portion, _UNPACKED_PIECE)
            if not piece and not stream.eof:
                portion = data[position : position + _PACKED_PIECE]
                if not portion:
                    raise EOFError(f"the {kind} stream ends too early")
                position += len(portion)
                piece = stream.decompress(portion, _UNPACKED_PIECE)
        except corrupt as error:
            raise ValueError(f"the {kind} stream is corrupt: {error}") from error
        portion = b""
        if content.tell() + len(piece) > max_bytes:
            raise ValueError(f"unpacks to more than {max_bytes} bytes (decode(max_unpacked=...) sets how many may come out)")
        content.write(piece)
    return position - len(stream.unused_data)
