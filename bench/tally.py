"""Counts and hashes what a contender reads, so that all of them can be held to the same samples."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from time import perf_counter
from typing import Any

WHOLE = 4096  # [bytes] up to which a value is always hashed whole
PROBE = 64  # [bytes] at the beginning, the middle and the end of larger ones


class Tally:
    """Sums up hashes, so the order of samples does not matter; the fields of a sample are chained, so mixed-up ones do.

    A timed run hashes large values at three places only. CRC-32 of everything costs 0.33 CPU-s/GB, nearly half of a bare
    download, and would hide differences; `full` does that in a run that is not timed. And with `every` it hashes one of so many
    samples, and counts the others: all contenders must give them in the same order then.
    """

    def __init__(self, *, full: bool, every: int = 1) -> None:
        self.full = full
        self._every = 1 if full else every
        self._unhashed = 0
        self.samples = 0
        self.bytes = 0
        self.digest = 0
        self.first: float | None = None  # time of the first sample, on perf_counter's clock [s]
        self.sent = 0  # [bytes] that the server sent for it, where a question asks
        self.requests = 0

    def add(self, sample: Mapping[str, Any]) -> None:
        self.samples += 1
        if self._unhashed:
            self._unhashed -= 1
            return
        self._unhashed = self._every - 1
        if self.first is None:
            self.first = perf_counter()
        digest = 0
        for value in sample.values():
            if type(value) is bytes:
                self.bytes += len(value)
                digest = zlib.crc32(value if self.full or len(value) <= WHOLE else _probes(value), digest)
        self.digest += digest

    def add_part(self, size: int, digest: int) -> None:
        """Some bytes that are no samples, of a bare download."""
        if self.first is None:
            self.first = perf_counter()
        self.bytes += size
        self.digest += digest


def _probes(value: bytes) -> bytes:
    middle = len(value) // 2
    return value[:PROBE] + value[middle : middle + PROBE] + value[-PROBE:]
