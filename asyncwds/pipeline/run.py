"""Runs a description: passes over the data, each through the stages, for `for` and for `async for`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from typing import Any
from weakref import finalize

from asyncwds.bridges.loop_thread import OTHER_PROCESS
from asyncwds.engine.source import Source
from asyncwds.errors import BridgeError, SpecError
from asyncwds.pipeline.adapt import adapt_all, first_needed, last_reader, last_splitter
from asyncwds.pipeline.clock import StageClock, stage_name
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.streams import NoItems, passing
from asyncwds.pipeline.tracebacks import users_frames
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.forks import FORKS
from asyncwds.runtime.worker_info import WorkerInfo


@dataclass(slots=True)
class Progress:
    """How far an iteration has come: its epoch, how many items of that it gave, and whether these are all."""

    epoch: int
    items: int = 0
    ended: bool = False


@dataclass(frozen=True)
class Description:
    """A dataset as data: the stages, and how often the data are passed over.

    The first stage is where items come from: a `Source`, anything that can be iterated, or a function without arguments.
    `passes` and `items` (after the stages) bound one iteration; None is without end.
    """

    stages: tuple[Any, ...] = ()
    seed: int = 0
    passes: int | None = 1
    items: int | None = None


def reseeded(description: Description, seed: int) -> Description:
    """The same with another seed of all orders that have none of their own."""
    head, *stages = description.stages or (None,)
    if isinstance(head, Source) and head.seed != seed:
        return replace(description, stages=(replace(head, seed=seed), *stages), seed=seed)
    return replace(description, seed=seed)


def is_countable(description: Description) -> bool:
    """Whether manifests tell how many items an iteration has: of all shards, and no stage drops or gathers some."""
    head, *stages = description.stages or (None,)
    if not isinstance(head, Source) or not head.records or (head.draw, head.select_files, head.rename_files) != (None, None, None):
        return False
    if description.passes is None and description.items is None:
        return False
    # A stage that says `one_to_one` gives as many items as it takes, but for those that its handler skips.
    return all(getattr(stage, "one_to_one", False) for stage in stages) and all(url in head.records for url in head.urls)


def count_items(description: Description, place: WorkerInfo) -> int:
    """The items of an iteration of what is countable, of all workers of the place's rank together."""
    if description.passes is None:
        return description.items or 0
    source: Source = description.stages[0]
    shards = source.shards(0, replace(place, worker=0, num_workers=1))
    items = description.passes * sum(source.records[shard.url].samples for shard in shards)
    return items if description.items is None else min(items, description.items)


class Run:
    """One iteration in progress. Owns one pass at a time; the first begins to fetch as soon as the run exists."""

    def __init__(
        self,
        description: Description,
        epoch: int,
        place: WorkerInfo,
        counters: Counters,
        publish: Callable[[], None] | None = None,
    ) -> None:
        if not description.stages:
            raise SpecError("a pipeline without stages has nothing to iterate over")
        self._description = description
        self._stages = adapt_all(description.stages)
        self.epoch = epoch
        self._place = place
        self._counters = counters
        self._clock = StageClock(counters, publish)
        finalize(self, self._clock.stop).atexit = False  # an iterator may be dropped without being closed
        self.closed = False
        self._open(0)

    def items(self) -> Iterator[Any]:
        """All passes."""
        items = repeated(self._one_pass, self._description.passes)
        return items if self._description.items is None else islice(items, self._description.items)

    def lineage(self) -> tuple[SampleTrace, ...]:
        """The samples that the latest item was made of."""
        return self._stream.lineage()

    def interrupt(self) -> None:
        """Makes whatever waits in another thread for the source raise BridgeError."""
        self.closed = True
        self._stream.interrupt()

    def close(self) -> None:
        self.closed = True
        self._stream.interrupt()  # all of it first: one stage may wait for another
        self._stream.close()
        self._clock.stop()

    def _open(self, number: int) -> None:
        # The passes of one iteration must not have the orders of the next iterations.
        self._context = RunContext(self._description.seed, self.epoch + (number << 32), self._place, self._counters)
        self._stream = self._open_stages(self._context)

    def _open_stages(self, context: RunContext) -> Stream:
        stages, clock = self._stages, self._clock
        # What stands before a stage that reads shards runs beside the others, in a thread of its own.
        first, splitter, timed_from = first_needed(stages, context), last_splitter(stages), last_reader(stages) + 1
        stream: Stream = NoItems(context.resources)
        for number, stage in enumerate(stages):
            if number < first:
                continue
            # Two unseeded shuffles in one pipeline must not pick alike.
            seed = context.seed + max(0, number - 1)
            described = self._description.stages[number]
            stream = stage.open(stream, context.of_stage(stage_name(described), seed, same_for_all=number < splitter))
            if number >= timed_from:
                stream = passing(partial(clock.measured, number=number, stage=described), stream)
        return passing(clock.watched, stream)

    @contextmanager
    def _one_pass(self, number: int) -> Iterator[Stream]:
        if number:
            self._open(number)
        if self.closed:  # by another thread, perhaps meanwhile
            self._stream.interrupt()
        try:
            yield self._stream
            if getattr(self._stages[0], "empty_check", None) is not False:
                for check in self._context.checks:
                    check()
        finally:
            self._stream.interrupt()
            self._stream.close()


def repeated(one_pass: Callable[[int], AbstractContextManager[Iterable[Any]]], passes: int | None) -> Generator[Any, None, None]:
    """The items of so many passes, each opened by its number; without end if that is None.

    One that gives nothing ends them, so that repeating an empty dataset does not spin.
    """
    for number in count() if passes is None else range(passes):
        empty = True
        with one_pass(number) as items:
            for item in items:
                empty = False
                yield item
        if empty:
            return


_NOTHING: Iterator[Any] = iter(())


def _refuse() -> None:
    raise BridgeError(
        "an iterator was used by several threads at once; give each an iterator of its own, or the items to them by a queue"
    ) from None


def _is_running_elsewhere(error: BaseException) -> bool:
    """Whether a generator was asked while another thread was in it: that is raised before any of its lines runs."""
    return isinstance(error, ValueError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


class Iteration(Iterator[Any]):
    """What `iter(dataset)` returns. Closes itself at the end, on any error, and when dropped; `close` does so at once.

    It counts in `progress`; what that has already was given elsewhere, and is passed over.
    """

    def __init__(self, run: Run, progress: Progress) -> None:
        # The run must not refer to this object: without a cycle, dropping the iterator after `break` closes at once.
        self._run = run
        self._items = islice(run.items(), progress.items, None) if progress.items else run.items()
        self._progress = progress
        self._after: Iterator[Any] = _NOTHING  # what it gives once it is closed
        self._forks = FORKS.number
        if progress.ended:
            self.close()

    def __next__(self) -> Any:
        # Checked for each item (30 ns), not only for each block: a child would give out the rest of the parent's block.
        if self._forks != FORKS.number:
            raise BridgeError(OTHER_PROCESS)
        try:
            item = next(self._items)
        except StopIteration:
            self._progress.ended = self._progress.ended or not self._run.closed
            self.close()
            self._require_one_thread()
            raise
        except BaseException as error:  # noqa: BLE001 - raised again
            if _is_running_elsewhere(error):
                self._refuse_all()
            else:
                self.close()
            self._require_one_thread()
            raise error.with_traceback(users_frames(error))  # noqa: B904 - it is the same error
        self._progress.items += 1
        return item

    def _refuse_all(self) -> None:
        """Every thread that asks is told, that one too which is in the middle of it: it would end as if exhausted."""
        self._items = self._after = iter(_refuse, None)
        self.interrupt()

    def _require_one_thread(self) -> None:
        if self._after is not _NOTHING:
            _refuse()

    def lineage(self) -> tuple[SampleTrace, ...]:
        """The samples that the latest item was made of."""
        return self._run.lineage()

    def interrupt(self) -> None:
        """Makes a `next` that waits in another thread raise BridgeError, and does not wait for anything."""
        self._run.interrupt()

    def close(self) -> None:
        """Stops the engine and waits for its end. Idempotent; afterwards the iterator is exhausted."""
        self._items = self._after
        self._run.close()
