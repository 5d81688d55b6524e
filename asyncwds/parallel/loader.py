"""`loader`: a dataset whose whole pipeline runs in other processes, and whose batches come through shared memory."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from dataclasses import dataclass, replace
from multiprocessing import get_all_start_methods
from os import PathLike
from typing import Any, Generic, Self, TypeVar
from weakref import finalize

from asyncwds import checks
from asyncwds.bridges.async_iterator import ThreadedIterator
from asyncwds.errors import ResumeWarning, SpecError
from asyncwds.formatting.texts import changed_fields, show_call, show_value
from asyncwds.parallel.arguments import understood
from asyncwds.parallel.group import Group, GroupSettings
from asyncwds.parallel.progress import LoaderProgress, epoch_of
from asyncwds.runtime.process import clean_up_undisturbed
from asyncwds.runtime.report import Report
from asyncwds.runtime.state_changes import READ_AGAIN, State, load
from asyncwds.runtime.stats import Stats

T_co = TypeVar("T_co", covariant=True)


class Loader(Generic[T_co]):
    """What `loader` makes. Each iteration is an epoch; one runs at a time. Its processes stay; `start` or the first starts them."""

    def __init__(self, dataset: Iterable[T_co], settings: GroupSettings) -> None:
        self.dataset = dataset
        self._settings = settings
        self._group: Group | None = None
        self._progress: LoaderProgress | None = None
        self._resumed: Resumed | None = None
        self._warned: set[str] = set()

    def __iter__(self) -> Generator[T_co, None, None]:  # noqa: PYI058 - it can be closed
        return self._begun()[0]

    def __aiter__(self) -> AsyncIterator[T_co]:
        batches, interrupt, progress = self._begun()
        return ThreadedIterator(batches, interrupt, lambda error: error.__traceback__, follow=progress.follow)

    def _begun(self) -> tuple[Generator[T_co, None, None], Callable[[], None], LoaderProgress]:
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            progress = LoaderProgress.of(self._beginning(), self._settings.processes)
        elif resumed.ended:
            self._progress = resumed.progress
            self.set_epoch(resumed.epoch + 1)
            return _nothing(), lambda: None, resumed.progress
        else:
            progress = resumed.progress
        self._progress = progress
        group = self._running(resumed)
        iteration = group.begin(progress)
        return iteration.batches(self._rest), iteration.interrupt, progress

    def _beginning(self) -> State | None:
        """The state of the dataset before the next iteration."""
        data: Any = self.dataset
        if hasattr(data, "state_before"):
            state: State = data.state_before(self._settings.processes)
            return state
        return data.state_dict() if hasattr(data, "state_dict") else None

    def _rest(self) -> None:
        """After an iteration, which refers to this object for that: it must not be dropped before."""
        if not self._settings.persistent_workers:
            self.close()

    def __len__(self) -> int:
        """That of the dataset in so many processes. Raises TypeError where it has none, as all objects without a `len()` do."""
        items_per_rank: Callable[[int], int] | None = getattr(self.dataset, "items_per_rank", None)
        return len(self.dataset) if items_per_rank is None else items_per_rank(self._settings.processes)  # type: ignore[arg-type]

    def set_epoch(self, epoch: int) -> None:
        """The number of the next iteration, as the dataset's."""
        self._of_dataset("set_epoch")(epoch)

    def stats(self) -> Stats:
        """What the processes did in the latest iteration, all together. They report five times a second and at the end."""
        stats: Stats = self._of_dataset("stats")()
        return stats

    def state_dict(self) -> dict[str, Any]:
        """What follows the item that was taken last, to be saved as JSON: of each process the state of its dataset.

        These come with the items: nobody is asked, and what the processes have made ahead is not in it. Raises SpecError where the
        dataset has no state.
        """
        self._of_dataset("state_dict")
        if self._resumed is not None:
            return self._resumed.progress.as_state()
        progress = self._progress or LoaderProgress.of(self._beginning(), self._settings.processes)
        state = progress.as_state()
        for warning in progress.warnings - self._warned:
            self._warned.add(warning)
            warnings.warn(f"{warning}: {READ_AGAIN}", ResumeWarning, stacklevel=2)
        return state

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> None:
        """Makes the next iteration the rest of the one that a state is of, exactly, with as many processes. Ends those that run.

        Raises SpecError as the dataset's does, and for another number of processes. With `in_order=False` the rest is exact in
        what comes, and not in the order.
        """
        self._of_dataset("load_state_dict")
        progress = LoaderProgress.from_state(state_dict, self._settings.processes)
        load(self.dataset, progress.begin or {}, strict=strict)
        self.close()
        self._resumed = Resumed(progress, strict, bool(state_dict["ended"]), epoch_of(progress.begin) or 0)

    def report(self) -> Report:
        """What became of the samples of the latest iteration, in all processes. They report once a second and at the end."""
        report: Report = self._of_dataset("report")()
        return report

    def start(self) -> Self:
        """Starts the processes before the first iteration does, and does not wait for them: they import what they need meanwhile.

        They have the dataset as it is now. Nothing is read before an iteration begins.
        """
        if self._resumed is None or not self._resumed.ended:
            self._running(self._resumed)
        return self

    def close(self) -> None:
        """Ends the processes. The next iteration starts new ones."""
        group, self._group = self._group, None
        if group is not None:
            group.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_group": None, "_progress": None}

    def __repr__(self) -> str:
        return show_call("loader", [self.dataset], changed_fields(self._settings))

    def _of_dataset(self, method: str) -> Any:
        if not hasattr(self.dataset, method):
            raise SpecError(f"loader: {show_value(self.dataset)} has no {method}")
        return getattr(self.dataset, method)

    def _running(self, resumed: Resumed | None) -> Group:
        if self._group is not None and self._group.is_here and not self._group.is_whole:
            self.close()
        if self._group is None or not self._group.is_here:
            states, strict = ((), True) if resumed is None else (resumed.progress.workers, resumed.strict)
            self._group = group = Group(self.dataset, self._settings, states, strict=strict)
            finalize(self, group.close)
            clean_up_undisturbed()
        return self._group


@dataclass(frozen=True)
class Resumed:
    """What the next iteration goes on from."""

    progress: LoaderProgress
    strict: bool
    ended: bool
    epoch: int


def _nothing() -> Generator[Any, None, None]:
    yield from ()


def loader(
    dataset: Iterable[T_co],
    processes: int | None = None,
    prefetch: int | None = None,
    *,
    start_method: str | None = None,
    in_order: bool = True,
    persistent_workers: bool = True,
    pin_memory: bool | None = None,
    shared_memory: str | PathLike[str] | None = None,
    worker_init_fn: Callable[[int], Any] | None = None,
    **known: Any,
) -> Loader[T_co]:
    """The dataset in `processes` processes (1) of its own, of which each is up to `prefetch` batches (2) ahead.

    They share out the shards as the workers of a DataLoader do. With one, batches come in the order of the dataset; with more, from
    the processes in turn, or as they come with `in_order=False`. Arrays and tensors are views of shared memory, for as long
    as anything refers to them.

    `start_method` is one of multiprocessing's, by default "spawn", for which the dataset must be picklable. `pin_memory` registers
    the memory with CUDA: by default where this process uses CUDA. `shared_memory` is a folder to have it in; by default it is in
    none on Linux, so that the size of /dev/shm does not matter. `worker_init_fn` is called with the number of each process, in it.
    `num_workers`, `prefetch_factor` and `multiprocessing_context` are understood.

    Raises SpecError for what makes no sense, and for other arguments of a DataLoader, with what to use in their place. An iteration
    raises what the pipeline raises, WorkerDiedError when a process is killed, and SharedMemoryError when there is no room.
    """
    if not isinstance(dataset, Iterable):
        raise SpecError(f"loader takes what can be iterated over, not {show_value(dataset)}")
    words = {"processes": processes, "prefetch": prefetch, "start_method": start_method}
    given = {name: value for name, value in words.items() if value is not None}
    for name, value in understood(known).items():
        if name in given:
            raise SpecError(f"loader: {name} is given twice, under two names")
        given[name] = value
    checks.function("loader: worker_init_fn", worker_init_fn, optional=True, takes=1)
    checks.path("loader: shared_memory", shared_memory, optional=True)
    for name, value in {"in_order": in_order, "persistent_workers": persistent_workers, "pin_memory": pin_memory}.items():
        checks.flag(f"loader: {name}", value)
    settings = GroupSettings(
        in_order=bool(in_order),
        persistent_workers=bool(persistent_workers),
        pin_memory=pin_memory,
        shared_memory=None if shared_memory is None else os.fspath(shared_memory),
        worker_init_fn=worker_init_fn,
    )
    return Loader(dataset, replace(settings, **_checked(given)))


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    found = dict(given)
    for name in ("processes", "prefetch"):
        if name in given:
            found[name] = checks.whole(f"loader: {name}", given[name], 1)
    if "start_method" in given:
        checks.one_of("loader: start_method", given["start_method"], get_all_start_methods())
    return found
