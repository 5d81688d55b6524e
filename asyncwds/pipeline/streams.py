"""The streams of stages that are generators, and of the iterators that stages are tried with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from asyncwds.pipeline.context import Resources
from asyncwds.pipeline.lineage import SampleTrace

T = TypeVar("T")


class NoItems:
    """What stands before the first stage. Ending it ends what is open in the pass."""

    def __init__(self, resources: Resources) -> None:
        self.close = resources.close
        self.interrupt = resources.interrupt

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __next__(self) -> Any:
        raise StopIteration

    def lineage(self) -> tuple[SampleTrace, ...]:
        return ()


class StageStream:
    """The items of a stage, by an iterator that is made when the first is asked for. `lineage` tells what the latest was made of.

    `state` is as in `ResumableStream`; None where nobody knows what the stage keeps between two items.

    Whoever iterates gets that iterator itself: a method between two stages would cost 60 ns an item.
    """

    def __init__(
        self,
        make: Callable[[], Iterator[Any]],
        source: Any,
        lineage: Callable[[], tuple[SampleTrace, ...]] | None = None,
        *,
        closes: bool = True,
        state: Callable[[], Any] | None = None,
    ) -> None:
        self.state = state
        self.lineage = source.lineage if lineage is None else lineage
        self.interrupt = source.interrupt
        self._make: Callable[[], Iterator[Any]] | None = make
        self._items: Iterator[Any] = iter(())
        self._source = source
        self._closes = closes

    def __iter__(self) -> Iterator[Any]:
        make, self._make = self._make, None
        if make is not None:
            self._items = make()
        return self._items

    def __next__(self) -> Any:
        return next(self._items if self._make is None else iter(self))

    def close(self) -> None:
        self._make = None
        try:
            if self._closes:
                close_generator(self._items)
        finally:
            self._source.close()


def passing(pass_on: Callable[[Iterator[Any]], Iterator[Any]], source: Any) -> StageStream:
    """The items of the source, as a function passes them on: it looks at them, and changes nothing."""
    return StageStream(lambda: pass_on(iter(source)), source, closes=False)


def close_generator(items: Any) -> None:
    """What runs just now in another thread cannot be closed: an interrupt ends it. Other iterators need not be closed."""
    if hasattr(items, "close") and not getattr(items, "gi_running", False):
        items.close()


class ResumableStageStream:
    """The same for a stage that can tell its state between two items."""

    def __init__(self, stream: StageStream, state: Callable[[], Any]) -> None:
        self._stream = stream
        self.state = state
        self.lineage, self.interrupt, self.close = stream.lineage, stream.interrupt, stream.close

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def __next__(self) -> Any:
        return next(self._stream)


def keeps_nothing() -> None:
    """The state of a stage that keeps nothing between two items: it is opened again as at first."""


def stream_over(items: Iterable[Any], resources: Resources | None = None) -> StageStream:
    """A source for a stage that is opened by itself. An iterator that was given is left to whoever gave it."""
    held = resources or Resources()
    iterator = iter(items)
    held.hold_if_it_can_be(iterator)
    return StageStream(lambda: iterator, NoItems(held), closes=False)


@contextmanager
def opened(iterable: Iterable[T]) -> Iterator[Iterator[T]]:
    """An iterator over it, closed at the end; one that was given is left to whoever gave it."""
    iterator = iter(iterable)
    try:
        yield iterator
    finally:
        if iterator is not iterable and hasattr(iterator, "close"):
            iterator.close()
