"""`DataPipeline`: the description that users compose of stages, and the iterators it gives."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import islice
from os import PathLike
from typing import Any, Generic, Self, TypeVar, overload

from asyncwds import checks
from asyncwds.bridges.async_iterator import ThreadedIterator
from asyncwds.bridges.channel import ClosableIterator
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import html_block
from asyncwds.pipeline import adapt, heads
from asyncwds.pipeline.clock import stage_name
from asyncwds.pipeline.describe import describe
from asyncwds.pipeline.description import (
    Description,
    add_length_method,
    count_items_of,
    is_countable,
    remove_length_method,
    reseeded,
)
from asyncwds.pipeline.fingerprint import differences, fingerprint, inner_datasets, order_of
from asyncwds.pipeline.iteration import Iteration, follow_own_iterator, users_frames
from asyncwds.pipeline.iterations import Iterations
from asyncwds.pipeline.protocol import Head, ItemT_co, StageFunction
from asyncwds.pipeline.run import Run, repeated
from asyncwds.pipeline.skip_list import Skip, SkipList, as_skip_list, require_other_ledger
from asyncwds.pipeline.states import State, from_state
from asyncwds.pipeline.within import Within
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.report import Report
from asyncwds.runtime.state_changes import StateChange
from asyncwds.runtime.stats import Stats, with_head
from asyncwds.runtime.torch_iterable import TorchIterable
from asyncwds.runtime.worker_info import current_worker_info, dataset_seed
from asyncwds.settings.reading import Ledger, as_ledger

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@TorchIterable.register
class DataPipeline(Generic[ItemT_co]):
    """Items of what stands first, passed through the stages behind it, for `for`, `async for` and torch's DataLoader.

        DataPipeline(SimpleShardList(urls), split_by_worker, tarfile_to_samples(), shuffle(1000), decode(), batched(16))

    First stands anything that can be iterated (a list in brackets, a dataset, DataLoader or list of shards) or a function
    without arguments; behind it functions from an iterator to an iterator, or objects with such a method `run`. Lists of
    stages count as their stages, None as nothing. `seed` is that of all stages with random orders that have none of their own;
    without it $WDS_SEED, or drawn once, here.

    The object describes: it holds no thread, loop or socket, can be pickled if its stages can. Stages are added to a new one;
    `append`, `repeat`, `with_epoch`, `with_length` and `with_ledger` change the one they are called on, as WebDataset's do, and so
    does what is done to the list of stages, `pipeline`. Iterations that have begun go on as they were. Every iteration is an epoch
    of its own, counted from 0 or from `set_epoch`.

    A subclass may have an `__iter__`, `iterator` or `iterator1` of its own: `async for` goes by it too.

    Raises SpecError (a ValueError) for what is no stage.
    """

    _bounds = Description()
    size: int  # where there is a `len()`
    length = -1  # WebDataset's, which nothing uses

    # Functions whose types are known give the items theirs, up to three of them; a list stands for the stages in it.
    @overload
    def __init__(self: DataPipeline[Any], head: list[Any], /, *stages: Any, seed: int | None = ...) -> None: ...
    @overload
    def __init__(self: DataPipeline[A], head: Head[A], /, *, seed: int | None = ...) -> None: ...
    @overload
    def __init__(self: DataPipeline[B], head: Head[A], b: StageFunction[A, B], /, *, seed: int | None = ...) -> None: ...
    @overload
    def __init__(
        self: DataPipeline[C], head: Head[A], b: StageFunction[A, B], c: StageFunction[B, C], /, *, seed: int | None = ...
    ) -> None: ...
    @overload
    def __init__(
        self: DataPipeline[D],
        head: Head[A],
        b: StageFunction[A, B],
        c: StageFunction[B, C],
        d: StageFunction[C, D],
        /,
        *,
        seed: int | None = ...,
    ) -> None: ...
    @overload
    def __init__(self: DataPipeline[Any], *args: Any, seed: int | None = ..., **ignored: Any) -> None: ...
    def __init__(self, *args: Any, seed: int | None = None, **ignored: Any) -> None:
        if ignored:  # as WebDataset's does
            warnings.warn(f"{type(self).__name__} takes stages, and ignores {', '.join(ignored)}", stacklevel=2)
        stages = [stage for arg in args for stage in (arg if isinstance(arg, list) else [arg]) if stage is not None]
        adapt.require_stages(stages)
        self._describe(Description(tuple(stages), self._seed_of(seed)))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        follow_own_iterator(cls)

    def _seed_of(self, seed: int | None, otherwise: int | None = None) -> int:
        """The one that is given, or that a subclass set before it called this constructor."""
        return self.seed if seed is None and "_bounds" in self.__dict__ else dataset_seed(seed, otherwise)

    def _describe(self, description: Description) -> None:
        self._set(description)
        self._iterations = Iterations()

    def _set(self, description: Description) -> None:
        self.pipeline = list(description.stages)
        self._bounds = replace(description, stages=())

    @property
    def _description(self) -> Description:
        return replace(self._bounds, stages=tuple(self.pipeline))

    # -- iterating ------------------------------------------------------------------------------------------------

    def __iter__(self) -> ClosableIterator[ItemT_co]:
        if self._has_own("iterator", "iterator1"):
            return (item for item in islice(self.iterator(), self._bounds.items))
        return self._iterate(self._start(self._description))

    def __aiter__(self) -> ThreadedIterator[ItemT_co]:
        if self._has_own("__iter__", "iterator", "iterator1"):
            return ThreadedIterator((item for item in self), self._interrupt, users_frames)
        started = self._start(self._description)
        iteration = self._iterate(started)
        follow = partial(self._iterations.follow, iteration.marks)
        return ThreadedIterator(iteration, started.interrupt, users_frames, iteration.mark, follow)

    def iterator(self) -> ClosableIterator[ItemT_co]:
        """An iteration that the number of items given to `repeat` or `with_epoch` does not bound."""
        if self._has_own("iterator1"):
            self._iterations.announce()
            return repeated(lambda _: nullcontext(self.iterator1()), self._bounds.passes)
        return self._iterate(self._start(replace(self._description, items=None)))

    def iterator1(self) -> ClosableIterator[ItemT_co]:
        """An iteration of one pass over the data."""
        return self._iterate(self._start(replace(self._description, passes=1, items=None)))

    def iterate_within(self, within: Within) -> ClosableIterator[ItemT_co] | None:
        """The same where it stands in another pipeline, for that; None where a subclass iterates in its own way."""
        if self._has_own("__iter__", "iterator", "iterator1"):
            return None
        return self._iterate(self._start(self._description, within))

    def described(self) -> Description:
        """What it consists of, for a pipeline that it stands in."""
        return self._description

    def _start(self, description: Description, within: Within | None = None) -> Run:
        adapt.require_stages(description.stages)  # the list may have been changed
        return self._iterations.start(description, self.fingerprint, within)

    def _iterate(self, started: Run) -> Iteration:
        return self._iterations.iterate(started, self.fingerprint)

    def fingerprint(self) -> dict[str, Any]:
        """What a state says of the pipeline that it is of; of what it begins with, where that is one or several others, too."""
        within = [inner.fingerprint() for inner in inner_datasets(self.pipeline[0])] if self.pipeline else []
        return {**self._own_fingerprint(), "within": within}

    def _own_fingerprint(self) -> dict[str, Any]:
        """Kept, as long as the description is the same: it takes a while of many urls."""
        known: tuple[Description, tuple[Any, ...], dict[str, Any]] | None = self.__dict__.get("_known")
        # The same objects: to compare many urls would take as long as to look at them.
        if known is None or known[0] is not self._bounds or list(map(id, known[1])) != list(map(id, self.pipeline)):
            self._known = known = (self._bounds, tuple(self.pipeline), fingerprint(self._description))
        return known[2]

    def _has_own(self, *methods: str) -> bool:
        return any(getattr(type(self), method) is not getattr(DataPipeline, method) for method in methods)

    def _interrupt(self) -> None:
        self._iterations.interrupt()

    def invoke(self, f: Any, *args: Any) -> Iterable[Any]:
        """A stage applied to its source, or what it gives as the first."""
        return adapt.invoke(f, *args)

    def set_epoch(self, epoch: int) -> None:
        """The number of the next iteration, which every random order depends on. To be called alike on every rank.

        It reaches the workers of a DataLoader, also those that stay, when their next iteration begins. What the pipeline begins
        with, or the dataset of a DataLoader that it begins with, is told too. A state of another epoch that was loaded is
        dropped, with a ResumeWarning where that epoch was not at its end.
        """
        self._iterations.set_epoch(checks.whole("set_epoch: epoch", epoch))
        heads.set_epoch(self.pipeline, epoch)

    def state_dict(self) -> dict[str, Any]:
        """How far the latest iteration here has come, to be saved as JSON: what `load_state_dict` goes on from.

        To be taken between any two items, in the thread that takes them. It has the places of samples that stages hold, and not
        the samples.
        """
        return self._with_head(self._iterations.state_dict(self.seed, self.fingerprint))

    def _with_head(self, state: dict[str, Any]) -> dict[str, Any]:
        """Of an iteration that is to begin, also with what that begins with."""
        begins = state["ended"] or state["items"] in (0, self._bounds.items)
        return heads.with_beginning(state, self.pipeline) if begins else state

    def state_before(self, workers: int) -> dict[str, Any]:
        """The state of an iteration that so many workers of this process are to begin, for loaders."""
        return self._with_head(self._iterations.beginning(self.seed, self.fingerprint, workers))

    def repeats(self) -> bool:
        """Whether an epoch that is gone through again has the same items in the same order, as far as can be told."""
        return heads.repeats(self.pipeline)

    def weight_changes(self) -> int:
        """How often weights of mixes that it begins with were set by hand."""
        return heads.weight_changes(self.pipeline)

    def state_change(self) -> StateChange:
        """What the latest item changes in `state_dict()`, for loaders: asked for after each item it costs 1 % of the time."""
        return self._iterations.state_change(self.seed, self.fingerprint)

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> None:
        """Makes the next iteration the rest of the one that a state is of: what is behind the item that it gave last.

        Shards that were read to their end are not asked for; of those that were open the rest is, and of what stages held the
        samples. It is nothing where the iteration had come to its end: a StatefulDataLoader counts on it, and then begins the next
        epoch. The seed is that of the state.

        Raises SpecError for what is no such state, and where the pipeline is another one, which it names; with `strict=False`
        options of stages may be others, as long as you know that they change no order. The iteration raises it where it runs on
        another number of ranks or workers.
        """
        state = from_state(state_dict)
        changed = differences(state_dict.get("description"), self.fingerprint(), strict=strict)
        if changed:
            raise SpecError(f"the state is of another pipeline: {'; '.join(changed)}")
        if state.drops_items and any(order_of(stage) == "arrival" for stage in self.pipeline):
            raise SpecError(
                'what was given before this state would have to be dropped by its number, which is of no use with order="arrival"'
            )
        self._set(reseeded(self._description, state.seed))
        self.set_epoch(state.progress.epoch)
        if state_dict.get("head") is not None:
            heads.begin_from(self.pipeline, state_dict["head"])
        self._iterations.resume(state if state.merged is None else _with_remainder(state, self._description))

    def stats(self) -> Stats:
        """Counts of the latest iteration, also while it runs: in this process, or the sum of what a DataLoader's workers did.

        Those of another pipeline that this one begins with, also in a mix or a DataLoader, are added. Workers report five times
        a second and at the end.
        """
        own = self._iterations.stats()
        within = heads.inner(self.pipeline[0], "stats") if self.pipeline else None
        return own if within is None else with_head(own, stage_name(self.pipeline[0]), within)

    def report(self) -> Report:
        """What became of the samples of the latest iteration, also while it runs: in this process, or all workers of a DataLoader.

        With what this pipeline begins with, where that is another one, also in a mix or a DataLoader. Workers report once a second
        and at the end. It costs nothing until it is asked for; in another thread than that of the items it is of about now.
        """
        within = heads.inner(self.pipeline[0], "report") if self.pipeline else None
        return self._iterations.report() if within is None else within

    def close(self) -> None:
        """Ends the iterations that run in this process, and closes the stages that can be closed. It can be iterated again."""
        self._iterations.close()
        for stage in self.pipeline:
            if hasattr(stage, "close"):
                stage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- composing ------------------------------------------------------------------------------------------------

    # WebDataset's attributes, which subclasses set.

    @property
    def repetitions(self) -> int:
        """Passes over the data in an iteration; `sys.maxsize` where they are without end."""
        passes = self._bounds.passes
        return sys.maxsize if passes is None else passes

    @repetitions.setter
    def repetitions(self, number: int) -> None:
        passes = checks.count("repetitions", number)
        self._set_bounds(passes=None if passes == sys.maxsize else passes)

    @property
    def nsamples(self) -> int:
        """The most items of an iteration; -1 where nothing bounds them."""
        items = self._bounds.items
        return -1 if items is None else items

    @nsamples.setter
    def nsamples(self, number: int) -> None:
        self._set_bounds(items=checks.count("nsamples", number))

    @property
    def seed(self) -> int:
        """Of all random orders that have none of their own, from the next iteration on."""
        return self._bounds.seed

    @seed.setter
    def seed(self, seed: int | None) -> None:
        described = replace(self._bounds, stages=tuple(getattr(self, "pipeline", ())))
        self._set(reseeded(described, dataset_seed(seed)))

    def stage(self, i: int) -> Any:
        return self.pipeline[i]

    @overload
    def compose(self, stage: StageFunction[ItemT_co, B], /) -> DataPipeline[B]: ...
    @overload
    def compose(self, *args: Any) -> DataPipeline[Any]: ...
    def compose(self, *args: Any) -> DataPipeline[Any]:
        """A new pipeline with more stages: any callables from an iterator to an iterator, a generator function for one."""
        other = copy(self)
        for stage in args:
            other.append(stage)
        return other

    # The others change the pipeline itself, as WebDataset's do: where people's code drops what they return, it relies on that.

    def append(self, f: Any) -> None:
        """Adds a stage to this pipeline itself."""
        (adapt.require_stage if self.pipeline else adapt.require_head)(f)
        self.pipeline.append(f)
        self._update_length()

    def repeat(self, nepochs: int | None = -1, nbatches: int | None = -1) -> Self:
        """Changes this pipeline, and returns it: an iteration passes over the data `nepochs` times, without end if that is -1
        or None; it has at most `nbatches` items in all. Raises SpecError for other numbers that are not above 0.
        """
        passes, items = checks.count("repeat: nepochs", nepochs), checks.count("repeat: nbatches", nbatches)
        self._set_bounds(passes=passes, items=items)
        return self

    def with_epoch(self, nsamples: int = -1, nbatches: int = -1) -> Self:
        """Changes this pipeline, and returns it: an iteration is exactly so many items of the last stage.

        It passes over the data as often as that takes, and each iteration begins anew. The two are the same, and the larger
        counts; without end if both are -1. Raises SpecError for other numbers that are not above 0.
        """
        items = [checks.count("with_epoch: nsamples", nsamples), checks.count("with_epoch: nbatches", nbatches)]
        self._set_bounds(passes=None, items=max([n for n in items if n is not None], default=None))
        return self

    def with_ledger(self, ledger: str | PathLike[str] | Ledger | None) -> Self:
        """Changes this pipeline, and returns it: the samples of its items are followed one by one, as `Ledger` says.

        A path is short for `Ledger(path)`.
        """
        given = as_ledger(ledger)
        require_other_ledger(given, self._skip)
        self._bounds = replace(self._bounds, ledger=given)
        return self

    def with_skip(self, skip: Skip) -> Self:
        """Changes this pipeline, and returns it: these samples are left out where shards are read. None leaves out none.

        A list of keys, of pairs of a shard and a key, of steps that `read_ledger` gave, and of `LedgerSteps`. Keys are left out of
        all epochs, steps of the pass that they are of. The others come as if those had been taken and thrown away, also where an
        iteration goes on from a state of one that left out nothing.

        Raises SpecError for what is none of these, and the iteration where the pipeline reads no shards.
        """
        given = as_skip_list(skip)
        require_other_ledger(self._bounds.ledger, given)
        self._bounds = replace(self._bounds, skip=given)
        return self

    @property
    def _skip(self) -> SkipList | None:
        skip = self._bounds.skip
        return skip if isinstance(skip, SkipList) else None

    def _set_bounds(self, **bounds: int | None) -> None:
        self._bounds = replace(self._bounds, **bounds)  # type: ignore[arg-type]
        self._update_length()

    def _update_length(self) -> None:
        if hasattr(self, "size") or not hasattr(self, "pipeline"):
            return
        if is_countable(self._description):
            add_length_method(self)
        elif hasattr(self, "__len__"):
            remove_length_method(self)

    def with_length(self, n: int, silent: bool = False) -> Self:  # noqa: ARG002 - WebDataset's, to silence its warning
        """Gives this pipeline a `len()`, for those who ask for one, and returns it. It changes nothing else."""
        self.size = checks.whole("with_length: n", n, 0)
        return add_length_method(self)

    def items_per_rank(self, num_workers: int = 1) -> int:
        """How many items an iteration has on this rank, where `num_workers` workers share it. `len()` is that for one worker.

        The process that makes a DataLoader is asked for `len()`, and nobody tells it how many workers there will be:
        `dataset.with_length(dataset.items_per_rank(4))` does. Raises TypeError where nobody knows how many items there are.
        """
        place = replace(current_worker_info(), worker=0, num_workers=checks.whole("items_per_rank: num_workers", num_workers, 1))
        return self.size if hasattr(self, "size") else count_items_of(self._description, place)

    def __add__(self, other: Any) -> Any:
        """torch's ChainDataset: the items of this, and then those of the other."""
        return require_extra("torch.utils.data", "torch").ChainDataset([self, other])

    def __copy__(self) -> Self:
        """Another pipeline, which counts epochs by itself from here on."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, pipeline=list(self.pipeline), _iterations=copy(self._iterations))
        return other

    def __repr__(self) -> str:
        return describe(type(self).__name__.removesuffix("_Length"), self._description)

    def _repr_html_(self) -> str:
        return html_block(repr(self))


def _with_remainder(state: State, description: Description) -> State:
    from asyncwds.pipeline.elastic import with_remainder  # noqa: PLC0415 - few need it

    return with_remainder(state, description)
