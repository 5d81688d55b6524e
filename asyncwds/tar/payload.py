"""A payload that comes in several chunks."""

from __future__ import annotations

from io import BytesIO


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
