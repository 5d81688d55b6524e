"""The keys that a shard has had so far, so that one that comes again is noticed."""

from __future__ import annotations

REMEMBERED = 1 << 17  # keys in a set, 13 MB, and what one run of the accelerator adds to them
LOGGED = 1 << 20  # [bytes] of keys that rise, as in the accelerator


class KnownKeys:
    """A set; or with `rising`, for the accelerator, which writes to it too, their bytes with a NUL behind each, as long as each key
    is greater than the one before. Then none can come again, and none is looked up or kept: a set fits into no cache, and takes a
    seventh of the time of a small sample.
    """

    def __init__(self) -> None:
        self.keys: set[str] | bytearray = set()

    def rise(self) -> None:
        """To be called before the first key."""
        self.keys = bytearray()

    def add(self, key: str) -> bool:
        """Whether it is new, as far as keys are remembered; it is then."""
        keys = self.keys
        if type(keys) is bytearray:
            if _rises(keys, key):
                return True
            self.keys = keys = set(keys.decode("utf-8", "surrogateescape").split("\0")[:-1])
        assert type(keys) is set
        if key in keys:
            return False
        if len(keys) < REMEMBERED:
            keys.add(key)
        return True


def _rises(keys: bytearray, key: str) -> bool:
    """Whether a key is greater than the last one; it is added then. Only text that is ASCII is compared as its bytes are."""
    last = keys[keys.rfind(b"\0", 0, -1) + 1 : -1]
    if not key.isascii() or "\0" in key or key.encode() <= last or len(keys) >= LOGGED:
        return False
    keys += key.encode() + b"\0"
    return True
