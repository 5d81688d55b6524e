"""Notices a stage that hands all it is given to its handler: an epoch that is empty for that reason is an error."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from asyncwds.engine.source import failure_text
from asyncwds.errors import EmptyEpochError
from asyncwds.runtime.stats import Counters


class Outcome:
    """What became of the items of a stage in a pass, until the first came out of it. From then on nothing is noted.

    Of the first error only the text is kept: its traceback would keep the stages of an iterator that is dropped.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._came = 0
        self._failed = 0
        self._gave = False
        self._first: str | None = None

    def fail(self, error: Exception) -> None:
        """Notes that the handler is asked about an error."""
        self._counters.samples_failed += 1
        if not self._gave:
            self._failed += 1
            self._first = self._first or failure_text(error)

    def noting_input(self, items: Iterator[object]) -> Iterator[object]:
        return chain(self._counted(items), items)  # by `chain` a later item costs 10 ns

    def noting_output(self, items: Iterator[object]) -> Iterator[object]:
        return chain(self._noticed(items), items)

    def check(self, batchsize: int) -> None:
        """Raises EmptyEpochError if items came, and all of them were handed to the handler, `batchsize` at a time.

        What a stage leaves out without an error, as `select` does, is no failure.
        """
        if self._failed and not self._gave and self._came < (self._failed + 1) * batchsize:
            what = "samples" if batchsize == 1 else "batches"
            raise EmptyEpochError(
                f"nothing came out of the epoch: all {what}, {self._failed}, were handed to a handler; the first: {self._first}",
                failed=self._failed,
            )

    def _counted(self, items: Iterator[object]) -> Iterator[object]:
        for item in items:
            self._came += 1
            yield item
            if self._gave:
                return

    def _noticed(self, items: Iterator[object]) -> Iterator[object]:
        for item in items:
            self._gave, self._first = True, None
            yield item
            return
