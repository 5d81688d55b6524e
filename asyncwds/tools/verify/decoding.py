"""Whether fields can be decoded as their extensions say: in threads, while the next ones are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncwds.codecs.decoders import Decoder
from asyncwds.errors import DecodeError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.samples import Sample
from asyncwds.tools.verify.rules import Finding

if TYPE_CHECKING:
    from concurrent.futures import Future

AHEAD = 4  # samples that wait for each thread

Add = Callable[[Finding], object]


class DecodingCheck:
    """Decodes samples in `threads` threads: images to pixels, others by the registry; audio and video stay as they are."""

    def __init__(self, threads: int) -> None:
        self._decoder = Decoder(["rgb8"])
        self._pool = BlockingPool("decode", threads)
        self._most = threads * AHEAD
        self._waiting: deque[Future[Finding | None]] = deque()

    def add(self, samples: list[Sample], found: Add) -> None:
        """Waits where too many are under way. Raises SpecError where a library is missing."""
        for sample in samples:
            self._waiting.append(self._pool.submit(self._check, sample))
            if len(self._waiting) > self._most:
                self._collect(found)

    def finish(self, found: Add) -> None:
        while self._waiting:
            self._collect(found)

    def close(self) -> None:
        self._pool.close(drop_waiting=True)

    def _collect(self, found: Add) -> None:
        finding = self._waiting.popleft().result()
        if finding is not None:
            found(finding)

    def _check(self, sample: Sample) -> Finding | None:
        try:
            self._decoder(sample)
        except DecodeError as error:
            offset = sample.origin.offset
            return Finding("W40", error.message, sample["__url__"], sample["__key__"], offset)
        return None
