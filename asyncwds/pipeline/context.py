"""What a stage is opened with: what it may know of the pass that it runs in, what ends with the pass, and the streams of stages
that are generators, and of the iterators that stages are tried with.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from struct import pack, unpack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.protocol import JsonValue
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.worker_info import WorkerInfo, rng_at

if TYPE_CHECKING:
    from asyncwds.pipeline.remainder import Remainder
    from asyncwds.pipeline.skipping import Skipping, SkippingPlaces
    from asyncwds.pipeline.within import Within


@runtime_checkable
class Resource(Protocol):
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


R = TypeVar("R", bound=Resource)


class Resources:
    """What is open in a pass."""

    def __init__(self) -> None:
        self._held: list[Resource] = []
        self._interrupted = False

    def hold(self, opened: R) -> R:
        """Makes `opened` end with the pass. `interrupt` is called from another thread, perhaps at this moment."""
        self._held.append(opened)
        if self._interrupted:
            opened.interrupt()
        return opened

    def hold_if_it_can_be(self, items: Any) -> None:
        """The same for an iterator of our own; what is the users' has no `interrupt`."""
        if isinstance(items, Resource):
            self.hold(items)

    def interrupt(self) -> None:
        self._interrupted = True
        for opened in tuple(self._held):
            opened.interrupt()

    def close(self) -> None:
        self.interrupt()  # all of it first: one may wait for another
        while self._held:
            self._held.pop().close()


@dataclass(frozen=True)
class RunContext:
    """One pass over the data, for the stages that take part in it.

    seed, epoch     what random orders depend on; a stage behind another one has a seed of its own
    worker_info     rank, world size, worker, number of workers
    counters        of the iteration
    resources       what to interrupt, and to close at the end
    checks          called at the end of the pass; each raises if a stage was left with nothing but errors
    stage           its name in statistics
    same_for_all    orders are alike in all ranks and workers, which share out the items behind this stage
    taken           items that the stage had taken before, in an iteration that goes on from a state
    remainder       what is left of this pass, where others began it
    skipping        which samples are left out of this pass
    passes_marks    marks come in the place of those, and are passed on
    within          where in the outermost pipeline the pass stands; None outside of one
    """

    seed: int
    epoch: int = 0
    worker_info: WorkerInfo = field(default_factory=WorkerInfo)
    counters: Counters = field(default_factory=Counters)
    resources: Resources = field(default_factory=Resources)
    checks: list[Callable[[], None]] = field(default_factory=list)
    stage: str = ""
    same_for_all: bool = False
    taken: int = 0
    remainder: Remainder | None = None
    skipping: Skipping | SkippingPlaces | None = None
    passes_marks: bool = False
    within: Within | None = None

    def of_stage(self, stage: str, seed: int, *, same_for_all: bool) -> RunContext:
        """The same for one of the stages."""
        return replace(self, stage=stage, seed=seed, same_for_all=same_for_all)

    def rng(self, own_seed: int | None = None) -> Random:
        """Draws of a stage. Its own seed gives WebDataset's in epoch 0, at every place, and others in each later epoch; without
        one they follow the dataset's seed, and differ from place to place.
        """
        if own_seed is not None:
            return Random(own_seed + self.epoch)  # noqa: S311 - an order, no secret
        return rng_at(self.seed, self.epoch, WorkerInfo() if self.same_for_all else self.worker_info)


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


def pack_rng(rng: Random) -> JsonValue:
    version, numbers, gauss = rng.getstate()
    return [version, b64encode(pack(f"<{len(numbers)}I", *numbers)).decode(), gauss]


def restore_rng(rng: Random, packed: Any) -> None:
    """Raises TypeError or ValueError for what is no such state."""
    version, text, gauss = packed
    data = b64decode(text)
    if len(data) % 4 or not isinstance(gauss, float | None):
        raise ValueError(packed)
    rng.setstate((version, unpack(f"<{len(data) // 4}I", data), gauss))
