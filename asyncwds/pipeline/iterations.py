"""The iterations of one pipeline in this process: their epochs, what the latest counted, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import asdict, fields
from functools import partial, wraps
from inspect import isgeneratorfunction
from typing import Any
from weakref import WeakSet

from asyncwds.errors import SpecError
from asyncwds.pipeline import worker_stats
from asyncwds.pipeline.epoch_counter import EpochCounter
from asyncwds.pipeline.run import Description, Iteration, Progress, Run
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.stats import Stats
from asyncwds.runtime.tracing import recorder_for


class Iterations:
    """A pickle has the number of the next one, and the progress that it begins with; so has a copy, which counts by itself."""

    def __init__(self, epochs: EpochCounter | None = None, resumed: Progress | None = None) -> None:
        self._epochs = epochs or EpochCounter()
        self._resumed = resumed  # with which the next one begins
        self._counters: Counters | None = None
        self._running: WeakSet[Iteration] = WeakSet()
        self._latest: Progress | None = None

    def start(self, description: Description) -> Run:
        epoch, place = self._epochs.begin()
        self._counters = Counters(recorder_for(f"epoch {epoch}", place))
        slot = self._epochs.slot(place)
        publish = None if slot is None else partial(worker_stats.publish, slot, self._counters, place, epoch)
        return Run(description, epoch, place, self._counters, publish)

    def iterate(self, started: Run) -> Iteration:
        self._latest, self._resumed = self._resumed or Progress(started.epoch), None
        iteration = Iteration(started, self._latest)
        self._running.add(iteration)
        return iteration

    def announce(self) -> None:
        """Of one that will begin when its first item is asked for: a state that is taken before is of its beginning."""
        self._latest = self._resumed or Progress(self._epochs.upcoming())

    def interrupt(self) -> None:
        for iteration in tuple(self._running):
            iteration.interrupt()

    def close(self) -> None:
        for iteration in tuple(self._running):
            iteration.close()

    def set_epoch(self, epoch: int) -> None:
        """The number of the next one, here and in workers."""
        self._epochs.set(epoch)

    def progress(self) -> Progress:
        """How far the latest has come."""
        return self._resumed or self._latest or Progress(self._epochs.upcoming())

    def resume(self, progress: Progress) -> None:
        """The next one is the rest of the one that has come so far."""
        self._epochs.set(progress.epoch)
        self._resumed = progress

    def stats(self) -> Stats:
        """What the latest counted, here or in workers."""
        counters, of_workers = self._counters, worker_stats.latest(self._epochs.slots())
        if of_workers is not None and (counters is None or counters.started < of_workers.started):
            return of_workers.stats
        return Stats() if counters is None else counters.snapshot()

    def __copy__(self) -> Iterations:
        return Iterations(self._epochs.copy(), copy(self._resumed))

    def __reduce__(self) -> tuple[Any, ...]:
        return Iterations, (self._epochs, self._resumed)


def as_state(seed: int, progress: Progress) -> dict[str, Any]:
    """A state as torchdata keeps it."""
    return {"seed": seed, **asdict(progress)}


def as_progress(state: dict[str, Any]) -> tuple[int, Progress]:
    """Seed and progress of a state. Raises SpecError for what is none."""
    try:
        return int(state["seed"]), Progress(*[state[field.name] for field in fields(Progress)])
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"not the state of a pipeline: {state!r}") from error


def follow_own_iterator(kind: type) -> None:
    """Generator functions by which a class of pipelines iterates run nothing when they are called: that they were is announced."""
    for name in ("__iter__", "iterator", "iterator1"):
        if isgeneratorfunction(own := vars(kind).get(name)):
            setattr(kind, name, _announcing(own))


def _announcing(iterate: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(iterate)
    def announce(self: Any, *args: Any, **options: Any) -> Any:
        if hasattr(self, "_iterations"):  # not in one whose `__init__` is all its own
            self._iterations.announce()
        return iterate(self, *args, **options)

    return announce
