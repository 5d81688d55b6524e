"""Items of datasets within a pipeline, made again of the samples that they were made of: by the stages of each dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.adapt import adapt_all, last_reader
from asyncwds.pipeline.context import NoItems, Resources, RunContext, StageStream
from asyncwds.pipeline.description import Description, reseeded
from asyncwds.pipeline.held import Ref
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.open_pass import with_contexts
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.reading_again import SamplesAgain
from asyncwds.pipeline.resuming import OpenStage, through_stages
from asyncwds.pipeline.states import UNSKIPPED
from asyncwds.pipeline.within import NumberedStream, PassNumbers, Path, pass_of, plain
from asyncwds.samples import Sample

_END = object()


class Again(Protocol):
    """What gives items again. `single`: each is made of one sample."""

    def stream(self, refs: Sequence[Ref], *, single: bool) -> Stream: ...


@dataclass(frozen=True)
class WithinPass:
    """A pass by its number, what is left of its path, and the number of its dataset among those whose shards are known."""

    number: int
    path: Path
    dataset: int

    def behind(self, steps: int) -> WithinPass:
        return replace(self, path=self.path[steps:])


class DatasetsAgain:
    """Of the members of a mix, or of what a pipeline begins with."""

    def __init__(self, head: Any, context: RunContext, refs: Iterable[Ref], state: Any) -> None:
        within = context.within
        assert within is not None
        numbers = within.numbered_as_here(state)
        try:
            self._make(head, context, refs, state, numbers)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(f"not what a state says of passes within: {show_value(state['shards'])}") from error

    def _make(self, head: Any, context: RunContext, refs: Iterable[Ref], state: Any, numbers: Mapping[int, int]) -> None:
        assert context.within is not None
        packed = state["shards"]["datasets"]
        passes = [
            WithinPass(numbers[number], tuple(map(int, path)), dataset) for number, path, dataset in state["shards"]["passes"]
        ]
        self._making = _Making(context, context.within.numbers, passes, _by_number(refs), packed, skips=not _is_unskipped(state))
        mix = self._making.mix(_members_of(head), passes)
        self.shards = {number: samples.shards for number, samples in self._making.leaves.items()}
        self.stream = mix.stream

    @property
    def leaves_out(self) -> bool:
        return self._making.leaves_out

    def sample(self, ref: Ref) -> Sample:
        """A mark for one that is left out."""
        return self._making.leaves[pass_of(ref)].sample(plain(ref))


def _by_number(refs: Iterable[Ref]) -> dict[int, set[Ref]]:
    found: dict[int, set[Ref]] = {}
    for ref in refs:
        found.setdefault(pass_of(ref), set()).add(plain(ref))
    return found


def _members_of(head: Any) -> Sequence[Any]:
    return getattr(head, "datasets", None) or [head.dataset]


def _is_unskipped(state: Any) -> bool:
    """Whether what goes on from it leaves nothing out."""
    if not isinstance(state, Mapping):
        return False
    return bool(state.get(UNSKIPPED)) or any(map(_is_unskipped, state.get("workers", ())))


class _Making:
    """What passes are made with. The samples of all passes of a dataset are fetched together."""

    def __init__(
        self,
        context: RunContext,
        numbers: PassNumbers,
        passes: Sequence[WithinPass],
        refs: Mapping[int, set[Ref]],
        packed: Sequence[Any],
        *,
        skips: bool,
    ) -> None:
        self._skips = skips
        self._context = context
        self._numbers = numbers
        self._refs: dict[int, set[Ref]] = {}  # of each dataset
        for each in passes:
            self._refs.setdefault(each.dataset, set()).update(refs.get(each.number, ()))
        self._packed = packed
        self._of_datasets: dict[int, SamplesAgain] = {}
        self.leaves: dict[int, SamplesAgain] = {}
        self.leaves_out = False

    def mix(self, members: Sequence[Any], passes: Sequence[WithinPass]) -> MixAgain:
        """Raises SpecError where the passes are of other datasets than these."""
        found: dict[int, Again] = {}
        for member, of_member in _grouped(passes, 1):
            if member[0] >= len(members):
                raise SpecError(f"a stage held items of data set {member[0]}, of {len(members)}")
            dataset = members[member[0]]
            if hasattr(dataset, "datasets"):
                found |= dict.fromkeys([each.number for each in of_member], self.mix(dataset.datasets, of_member))
                continue
            for (epoch, seed), of_pass in _grouped(of_member, 2):
                found |= dict.fromkeys([each.number for each in of_pass], self._pass(dataset, epoch, seed, of_pass))
        return MixAgain(found)

    def _pass(self, dataset: Any, epoch: int, seed: int, passes: Sequence[WithinPass]) -> PassAgain:
        if not hasattr(dataset, "described"):
            raise SpecError(f"a stage held items that {show_value(dataset)} had made")
        description: Description = reseeded(dataset.described(), seed)
        outer = self._context
        skipping = None if description.skip is None or not self._skips else description.skip.of_pass(epoch)
        context = RunContext(seed, epoch, outer.worker_info, outer.counters, outer.resources, skipping=skipping)
        stages = adapt_all(description.stages)
        opened, base = with_contexts(stages, description, context), max(last_reader(stages), 0)
        head: Any = stages[base]
        if not hasattr(head, "read_again"):
            return PassAgain(self.mix(_members_of(head), passes), opened[base + 1 :])
        (only,) = passes
        samples = self._samples(head, opened[base][2], only)
        self.leaves[only.number] = samples
        self.leaves_out = self.leaves_out or skipping is not None
        return PassAgain(samples, opened[base + 1 :], self._numbers, only.number)

    def _samples(self, head: Any, context: RunContext, only: WithinPass) -> SamplesAgain:
        found = self._of_datasets.get(only.dataset)
        if found is None:
            state = {"shards": self._packed[only.dataset]}
            found = self._of_datasets[only.dataset] = head.read_again(context, self._refs[only.dataset], state)
        return found.of_pass(context)


def _grouped(passes: Sequence[WithinPass], steps: int) -> Iterator[tuple[Path, list[WithinPass]]]:
    """By the first steps of their paths, and what is left of these."""
    ordered = sorted(passes, key=attrgetter("path"))
    for path, group in groupby(ordered, lambda each: each.path[:steps]):
        yield path, [each.behind(steps) for each in group]


class PassAgain:
    """Items of a pass of a dataset, by its stages behind what gives its samples or items."""

    def __init__(
        self,
        base: Again,
        stages: Sequence[OpenStage],
        numbers: PassNumbers | None = None,
        number: int = 0,
    ) -> None:
        self._base = base
        self._stages = stages
        self._numbers = numbers
        self._number = number

    def stream(self, refs: Sequence[Ref], *, single: bool) -> Stream:
        if self._numbers is None:
            return through_stages(self._base.stream(refs, single=single), self._stages)
        stream = through_stages(self._base.stream(list(map(plain, refs)), single=single), self._stages)
        return NumberedStream(stream, self._numbers, self._number)


class MixAgain:
    """Items of several passes, in the order in which the samples are of these."""

    def __init__(self, passes: Mapping[int, Again]) -> None:
        self._passes = passes

    def stream(self, refs: Sequence[Ref], *, single: bool) -> Stream:
        run = MixAgainRun(self._passes, refs)
        return StageStream(run.alternating if single else run.one_after_the_other, NoItems(Resources()), run.lineage)


class MixAgainRun:
    def __init__(self, passes: Mapping[int, Again], refs: Sequence[Ref]) -> None:
        self._passes = passes
        self._refs = refs
        self._latest: Stream = NoItems(Resources())

    def alternating(self) -> Iterator[Any]:
        """Where each item is of one sample, each pass goes through its stages once."""
        turns = [self._passes[pass_of(ref)] for ref in self._refs]
        of_passes: dict[int, list[Ref]] = {}
        for turn, ref in zip(turns, self._refs, strict=True):
            of_passes.setdefault(id(turn), []).append(ref)
        with ExitStack() as stack:
            streams = {}
            for turn in {id(turn): turn for turn in turns}.values():
                streams[id(turn)] = turn.stream(of_passes[id(turn)], single=True)
                stack.callback(streams[id(turn)].close)
            for turn in turns:
                self._latest = streams[id(turn)]
                item = next(self._latest, _END)
                if item is _END:  # whoever asked for it sees that some are missing
                    return
                yield item

    def one_after_the_other(self) -> Iterator[Any]:
        for turn, refs in groupby(self._refs, lambda ref: self._passes[pass_of(ref)]):
            self._latest = turn.stream(list(refs), single=False)
            try:
                yield from self._latest
            finally:
                self._latest.close()

    def lineage(self) -> tuple[SampleTrace, ...]:
        return self._latest.lineage()
