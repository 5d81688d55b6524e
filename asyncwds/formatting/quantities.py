"""Numbers in sentences."""

from __future__ import annotations

MB = 1e6
GB = 1e9


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """ "1 shard", "2 shards", "2 batches"; `nouns` is for words that take more than an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def size(nbytes: float) -> str:
    """With a unit that leaves at most three digits before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def duration(seconds: float) -> str:
    """In the largest unit of which there is one at least."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
