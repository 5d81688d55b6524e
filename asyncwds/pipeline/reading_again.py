"""Samples that are read by themselves: those that stages held, and single ones that others left of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from asyncwds.bridges.block_bridge import open_bridge
from asyncwds.engine.positions import HeldShard, unpack_shards
from asyncwds.engine.refetch import open_refetch, plan_spans
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import NoItems, Resources, RunContext, StageStream
from asyncwds.pipeline.held import Ref
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.skipping import mark_for
from asyncwds.samples import PADDING, Origin, Sample


def held_of(refs: Iterable[Ref], state: Any, urls: Sequence[str]) -> tuple[list[Ref], dict[int, HeldShard]]:
    """Samples that stages held, and what the state of the stage that reads shards says of their shards."""
    held = list(refs)
    if not isinstance(state, Mapping):
        raise SpecError(f"the state is damaged: that of the stage that reads shards is {show_value(state)}")
    return held, unpack_shards(state.get("shards"), sorted({index for index, _, _ in held}), urls)


class Fetched:
    """Samples that were read before: the requests are made when this is made, all together, and waited for when one is wanted."""

    def __init__(self, source: Source, context: RunContext, refs: Iterable[Ref], shards: Mapping[int, HeldShard]) -> None:
        opened = partial(open_refetch, source, plan_spans([Origin(*ref) for ref in refs], shards), context.counters)
        self._bridge = context.resources.hold(open_bridge(opened, source.prefetch, context.counters))
        self._samples: dict[Ref, Sample] | None = None

    def __getitem__(self, ref: Ref) -> Sample:
        if self._samples is None:
            self._samples = {sample._origin: sample for block in self._bridge for sample in block.samples}  # noqa: SLF001 - its key
        return self._samples[ref]


class SamplesAgain:
    """Samples that were read before in a pass."""

    def __init__(
        self,
        source: Source,
        context: RunContext,
        refs: Iterable[Ref],
        shards: Mapping[int, HeldShard],
        fetched: Fetched | None = None,
    ) -> None:
        self.shards = shards
        self.leaves_out = False  # but for marks, of which the pass knows how far they go
        self._source = source
        self._fetched = fetched or Fetched(source, context, refs, shards)
        self._padding = source.padding(context.epoch, context.worker_info)
        self._skipping = context.skipping

    def of_pass(self, context: RunContext) -> SamplesAgain:
        """The same of another pass, fetched together."""
        return SamplesAgain(self._source, context, (), self.shards, self._fetched)

    def stream(self, refs: Sequence[Ref], *, single: bool) -> Stream:  # noqa: ARG002 - as of datasets
        """An item for each."""
        return StageStream(lambda: map(self.sample, refs), NoItems(Resources()))

    def sample(self, ref: Ref) -> Sample:
        """One of its own: stages may change it. A mark for one that is left out."""
        sample = self._fetched[ref].copy()
        if self._skipping is not None and self._skipping.wants(sample):
            return mark_for(sample)
        if self._padding is not None:
            sample[PADDING] = self._padding(*sample._origin[:2])  # noqa: SLF001 - as above
        return sample


class SingleSamples:
    """Samples by where they are, in batches, of which the next one is fetched while one is given. `given` were given before."""

    def __init__(
        self,
        batches: list[list[Ref]],
        held: Mapping[int, HeldShard],
        given: int,
        fetch: Callable[[Iterable[Ref], Mapping[int, HeldShard]], SamplesAgain],
    ) -> None:
        self.held = held
        self.given = given
        self._batches = batches
        self._fetch = fetch
        self._ahead = self._next(iter(self._rest()))

    @property
    def left(self) -> bool:
        return bool(self._ahead)

    def _rest(self) -> Iterator[list[Ref]]:
        passed = self.given
        for batch in self._batches:
            rest, passed = batch[passed:], max(0, passed - len(batch))
            if rest:
                yield rest

    def samples(self) -> Iterator[Sample]:
        while self._ahead:
            refs, fetched, later = self._ahead
            self._ahead = self._next(later)
            for ref in refs:
                sample = fetched.sample(ref)
                self.given += 1
                yield sample

    def _next(self, batches: Iterator[list[Ref]]) -> tuple[list[Ref], SamplesAgain, Iterator[list[Ref]]] | None:
        refs = next(batches, None)
        return None if refs is None else (refs, self._fetch(refs, self.held), batches)
