"""Compressed shards: gzip, zstd, xz and bz2, recognised by their first bytes, whatever the name says."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from asyncwds.compression import STREAMS, Stream
from asyncwds.errors import TarHeaderError, TruncatedTarError
from asyncwds.model import KiB, MiB

_HEAD = 10  # bytes that tell a bz2 stream from a name that begins with BZh; the others need fewer
_INPUT = 64 * KiB  # at a time: zlib copies what it did not get to
_PIECE = MiB


def detect(head: bytes) -> str | None:
    """The compression of a file with these first 10 bytes; None if it has none that is known."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):  # a frame, or one to skip
        return "zstd"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):  # a block, or the end of no blocks
        return "bz2"
    return None


class Decompressor:
    """Decompresses the bytes of one object; what is not compressed goes through untouched.

    Streams one after the other are one content, as for `gzip -d`; zeros between and after them are padding.
    """

    def __init__(self, url: str) -> None:
        self.compressed = False
        """Known when the first piece comes, or the end."""
        self._url = url
        self._kind = ""
        self._head: bytes | None = b""  # None once the kind is known
        self._stream: Stream | None = None  # None between streams
        self._corrupt: type[Exception] = zlib.error
        self._offset = 0  # in the decompressed bytes

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The bytes that the chunk gives; if it is compressed in pieces of at most 1 MiB, each made when it is asked for.

        To be used up before the next call. Raises TarHeaderError where a stream is corrupt (what the last 64 KiB of input
        had given by then may be lost), SpecError if it is zstd and there is no library for it.
        """
        if self._head is not None:
            chunk = self._head + chunk
            self._head = chunk
            if len(chunk) < _HEAD:
                return
            self._begin(chunk)
        if not self.compressed:
            yield chunk
            return
        for start in range(0, len(chunk), _INPUT):
            yield from self._pieces(chunk[start : start + _INPUT])

    def finish(self) -> Iterator[bytes]:
        """To be called at the end of input: bytes held back. Raises TruncatedTarError if a stream is not complete."""
        if self._head:
            head = self._head
            self._begin(head)
            yield from self.feed(head)
        if self._stream is not None:
            raise TruncatedTarError(f"the {self._kind} stream ends too early", url=self._url, offset=self._offset)

    def _begin(self, head: bytes) -> None:
        self._kind = detect(head) or ""
        self.compressed = bool(self._kind)
        self._head = None

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._stream is None:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._stream, self._corrupt = STREAMS[self._kind]()
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

    def _decompress(self, stream: Stream, data: bytes) -> bytes:
        try:
            piece = stream.decompress(data, _PIECE)
        except self._corrupt as error:
            raise TarHeaderError(f"the {self._kind} stream is corrupt: {error}", url=self._url, offset=self._offset) from error
        self._offset += len(piece)
        return piece
