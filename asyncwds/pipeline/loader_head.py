"""A DataLoader that a pipeline begins with: its items, and the states of the dataset in its workers."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream
from asyncwds.pipeline.protocol import Stream
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.state_changes import StateChange, change_of, changed, load


class Tracked(NamedTuple):
    """What a worker makes: an item, and what that changes in the worker's state, pickled."""

    item: Any
    worker: int
    whole: bool
    change: bytes | None


class Tracking:
    """A `collate_fn` that makes `Tracked`. A worker's dataset is this object's, by fork or in one pickle."""

    def __init__(self, collate_fn: Callable[[Any], Any], dataset: Any, workers: int) -> None:
        self.collate_fn = collate_fn
        self._dataset = dataset
        self._workers = workers

    def __call__(self, items: Any) -> Tracked:
        item = self.collate_fn(items)
        if not self._workers:  # whoever wants to know the state asks for it
            return Tracked(item, 0, False, None)
        change = change_of(self._dataset)
        packed = None if change is None else pickle.dumps((change.values, change.warning), pickle.HIGHEST_PROTOCOL)
        return Tracked(item, _worker_info().id, change is not None and change.whole, packed)


def _worker_info() -> Any:
    return require_extra("torch.utils.data", "torch").get_worker_info()


def track(loader: Any) -> Any:
    """A DataLoader that has been made, whose items are `Tracked` from here on."""
    loader.collate_fn = Tracking(loader.collate_fn, loader.dataset, loader.num_workers)
    return loader


def is_tracked(head: Any) -> bool:
    return isinstance(getattr(head, "collate_fn", None), Tracking)


class Loading:
    """A `worker_init_fn`: the dataset of a worker goes on from its state."""

    def __init__(self, states: list[Any], then: Callable[[int], Any] | None) -> None:
        self._states = states
        self._then = then

    def __call__(self, worker: int) -> None:
        if self._states[worker] is not None:
            # What the pipeline is was compared before.
            load(_worker_info().dataset, self._states[worker], strict=False)
        if self._then is not None:
            self._then(worker)


@dataclass(frozen=True)
class LoaderHead:
    """The stage. `loader` is tracked."""

    loader: Any
    reads_shards: ClassVar[bool] = True

    def open(self, source: Stream, context: RunContext) -> Stream:
        return self._stream(source, context, None)

    def reopen(self, source: Stream, context: RunContext, state: Any) -> Stream:
        return self._stream(source, context, state)

    def _stream(self, source: Stream, context: RunContext, state: Any) -> Stream:
        run = LoaderRun(self.loader, context, state)
        stream = StageStream(run.items, source, lambda: ())
        return HeadStream(stream, run.state, run.beginning)

    def beginning(self) -> Any:
        """What the next iteration begins with; None where nobody knows."""
        dataset = self.loader.dataset
        if hasattr(dataset, "state_before"):
            return dataset.state_before(self.loader.num_workers)
        return dataset.state_dict() if hasattr(dataset, "state_dict") else None

    def begin_from(self, state: Any) -> None:
        load(self.loader.dataset, state, strict=False)


class HeadStream(ResumableStageStream):
    """One that also tells the state that it began with."""

    def __init__(self, stream: StageStream, state: Callable[[], Any], beginning: Callable[[], Any]) -> None:
        super().__init__(stream, state)
        self.beginning = beginning


class LoaderRun:
    """One pass over a DataLoader."""

    def __init__(self, loader: Any, context: RunContext, state: Any) -> None:
        self._loader = loader
        self._context = context
        self._places = max(1, loader.num_workers)
        begin, states, order = _read_state(state, self._places)
        self._begin = begin
        self._goes_on = state is not None
        self._states: list[Any] = states
        self._changes: list[bytes | None] = [None] * self._places
        self._turns = Turns(order, self._places)

    def items(self) -> Iterator[Any]:
        batches = self._iterator()
        in_order = self._loader.num_workers and getattr(self._loader, "in_order", True)
        return self._in_turn(batches) if in_order else map(self._take, batches)

    def _iterator(self) -> Iterator[Tracked]:
        loader = self._loader
        if not self._goes_on:
            self._begin = LoaderHead(loader).beginning()
            return iter(loader)
        load(loader.dataset, self._begin, strict=False)
        if not loader.num_workers:
            if self._states[0] is not None:
                load(loader.dataset, self._states[0], strict=False)
            return iter(loader)
        loader._iterator = None  # noqa: SLF001 - ends workers that have stayed
        initialize = loader.worker_init_fn
        loader.worker_init_fn = Loading(self._states, initialize)
        try:
            return iter(loader)
        finally:
            loader.worker_init_fn = initialize

    def _in_turn(self, batches: Iterator[Tracked]) -> Iterator[Any]:
        turns = self._turns
        for batch in batches:
            turns.arrive(batch.worker, batch)
            while (ready := turns.next()) is not None:
                yield self._take(ready)
        turns.end()
        while (ready := turns.next()) is not None:
            yield self._take(ready)

    def _take(self, batch: Tracked) -> Any:
        if batch.whole:
            self._states[batch.worker], self._changes[batch.worker] = batch.change, None
        else:
            self._changes[batch.worker] = batch.change
        return batch.item

    def beginning(self) -> Any:
        if self._begin is None:
            return None
        return {"dataset": self._begin, "workers": [None] * self._places, "order": list(range(self._places))}

    def state(self) -> Any:
        """Raises SpecError where the dataset has none."""
        if self._begin is None:
            raise SpecError(f"{show_value(self._loader.dataset)}, the dataset of a DataLoader, does not say how far it has come")
        if not self._loader.num_workers:
            states = [self._loader.dataset.state_dict()]
        else:
            self._states = [_unpack(state) for state in self._states]
            states = [
                state if change is None else changed(state, StateChange(_unpack(change), False))
                for state, change in zip(self._states, self._changes, strict=True)
            ]
        return {"dataset": self._begin, "workers": states, "order": list(self._turns.order)}


def _unpack(state: Any) -> Any:
    return pickle.loads(state)[0] if isinstance(state, bytes) else state  # noqa: S301 - from our own process


def _read_state(state: Any, places: int) -> tuple[Any, list[Any], list[int]]:
    if state is None:
        return None, [None] * places, list(range(places))
    try:
        begin, states, order = state["dataset"], list(state["workers"]), [int(worker) for worker in state["order"]]
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"not the state of a DataLoader: {show_value(state)}") from error
    if len(states) != places:
        raise SpecError(
            f"the state is that of {len(states)} workers of a DataLoader, and this one has {places}: an epoch is gone on with by "
            "as many as began it"
        )
    return begin, states, order


class Turns:
    """Whose turn it is among workers. torch begins with the first of them, and what is gone on with, perhaps, with another one."""

    def __init__(self, order: list[int], workers: int) -> None:
        self.order = deque(order)
        self._in_torch = deque(range(workers))
        self._ended: set[int] = set()
        self._waiting: list[deque[Tracked]] = [deque() for _ in range(workers)]

    def arrive(self, worker: int, batch: Tracked) -> None:
        """Those whose turn it was in torch, and that gave nothing, have ended."""
        while self._in_torch[0] != worker:
            self._ended.add(self._in_torch.popleft())
        self._in_torch.rotate(-1)
        self._waiting[worker].append(batch)

    def end(self) -> None:
        self._ended.update(self._in_torch)

    def next(self) -> Tracked | None:
        while self.order:
            worker = self.order[0]
            if self._waiting[worker]:
                self.order.rotate(-1)
                return self._waiting[worker].popleft()
            if worker not in self._ended:
                break
            self.order.popleft()
        return None
