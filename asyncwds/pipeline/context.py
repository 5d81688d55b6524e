"""What a stage may know of the pass that it runs in, and what ends with the pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from asyncwds.runtime.counters import Counters
from asyncwds.runtime.worker_info import WorkerInfo, rng_at

if TYPE_CHECKING:
    from asyncwds.pipeline.remainder import Remainder
    from asyncwds.pipeline.skipping import Skipping, SkippingPlaces


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
