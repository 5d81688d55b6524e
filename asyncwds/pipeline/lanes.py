"""An epoch in a fixed number of streams, which ranks and workers share out among them.

What a lane gives depends on its number and on how many lanes there are, and not on who reads it. So with as many items of each lane
in a step, all ranks together have the same items in that step, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from asyncwds import checks
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream
from asyncwds.pipeline.description import Description, PassState, Progress, reseeded
from asyncwds.pipeline.fingerprint import differences, fingerprint, skips_in
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.protocol import JsonValue, Stream
from asyncwds.pipeline.run import Run
from asyncwds.pipeline.state_shape import require_pass, require_progress
from asyncwds.pipeline.states import UNSKIPPED, pass_as_json
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.stats import Stats, mixed
from asyncwds.runtime.torch_iterable import TorchIterable
from asyncwds.runtime.units import MiB
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.shards.plan import single_node_only, split_by_node

LEAST_BUFFER = 16 * MiB  # [bytes] of a lane, where the buffer of all is not smaller than that


@TorchIterable.register
@dataclass(frozen=True)
class Lanes:
    """What a pipeline begins with: the items of `number` lanes, from those that a rank and worker has an item each in turn.

    Each lane is what `dataset` would give on one of `number` ranks without workers.
    """

    description: Description
    number: int
    _counted: list[Counters] = field(default_factory=list, compare=False, repr=False)  # of the latest pass in this process

    def __post_init__(self) -> None:
        checks.whole("lanes: number", self.number, 1)
        bounds = (self.description.passes, self.description.items)
        checks.require(bounds == (1, None), "lanes: repeat and with_epoch belong behind lanes, where they bound what a rank gives")
        head = self.description.stages[0]
        if isinstance(head, Source) and head.nodesplitter is single_node_only:
            stages = (replace(head, nodesplitter=split_by_node), *self.description.stages[1:])
            object.__setattr__(self, "description", replace(self.description, stages=stages))

    def open(self, source: Stream, context: RunContext) -> ResumableStageStream:
        return self._stream(source, context, {})

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStageStream:
        try:
            known: Any = state
            changed = differences(known["description"], fingerprint(self.description), strict=False)
            if known["number"] != self.number:
                changed.append(f"{known['number']} in the state, {self.number} here")
            if changed:
                raise SpecError(f"the state is of other lanes: {'; '.join(changed)}")
            lanes = {
                int(lane): (Progress(context.epoch, *require_progress(came)), PassState(**require_pass(passes)))
                for lane, (came, passes) in known["lanes"].items()
            }
            saved = None if known.get(UNSKIPPED) else skips_in(known["description"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(f"not the state of lanes: {show_value(state)}") from error
        return self._stream(source, context, lanes, saved)

    def _stream(
        self,
        source: Stream,
        context: RunContext,
        states: Mapping[int, tuple[Progress, PassState]],
        saved: Sequence[str | None] | None = (None,),
    ) -> ResumableStageStream:
        """`saved` is what was left out when the states were taken; None leaves nothing out."""
        own = lanes_of(context.worker_info, self.number)
        missing = [lane for lane in own if states and lane not in states]
        if missing:
            raise SpecError(
                f"the state has no lane {missing[0]}: other ranks and workers go on from what `merge_state_dicts` makes of all"
            )
        described = _sharing(self.description if saved is not None else replace(self.description, skip=None), len(own))
        self._counted.clear()
        lanes = [Lane(described, lane, self.number, context, *self._settled(lane, states.get(lane, ()), saved)) for lane in own]
        self._counted.extend([lane.counters for lane in lanes])
        run = LaneRun(lanes)
        for lane in lanes:
            context.resources.hold(lane)
        said = {"number": self.number, "description": fingerprint(self.description)}
        return ResumableStageStream(StageStream(run.items, source, run.lineage), lambda: {**said, "lanes": run.state()})

    def _settled(self, lane: int, state: tuple[Any, ...], saved: Sequence[str | None] | None) -> tuple[Any, ...]:
        """Where it goes on from, if others are left out than before."""
        if not state or saved is None or state[0].ended:
            return state
        from asyncwds.pipeline.settling import settled_for  # noqa: PLC0415 - few need it

        progress, passes = state
        own = skips_in(fingerprint(self.description))
        return progress, settled_for(self.description, progress.epoch, WorkerInfo(lane, self.number), passes, None, saved, own)

    def reseeded(self, seed: int) -> Lanes:
        return Lanes(reseeded(self.description, seed), self.number)

    def stats(self) -> Stats:
        """What all lanes did in this process."""
        return mixed([counters.snapshot() for counters in self._counted])

    def __reduce__(self) -> tuple[Any, ...]:
        return Lanes, (self.description, self.number)


def lanes_of(place: WorkerInfo, number: int) -> list[int]:
    """Those of a rank and worker. A worker's lanes are the same for every number of ranks, taken over all of them.

    Raises SpecError where they cannot be shared out evenly.
    """
    places = place.world_size * place.num_workers
    if number % places:
        raise SpecError(
            f"{number} lanes cannot be shared out evenly among {place.world_size} ranks with {place.num_workers} workers each: "
            "ranks times workers must divide them"
        )
    return list(range(place.rank * place.num_workers + place.worker, number, places))


def _sharing(description: Description, lanes: int) -> Description:
    """With a buffer and connections that all lanes of a place share."""
    head, *stages = description.stages
    if not isinstance(head, Source) or lanes == 1:
        return description
    prefetch = head.prefetch
    least = min(prefetch.buffer_bytes, LEAST_BUFFER)
    connections = prefetch.connections
    if connections != "auto":
        connections = max(prefetch.interleave, connections // lanes)
    shared = replace(prefetch, buffer_bytes=max(least, prefetch.buffer_bytes // lanes), connections=connections)
    return replace(description, stages=(replace(head, prefetch=shared), *stages))


class Lane:
    """A lane in one pass."""

    def __init__(  # noqa: PLR0917 - what it is made of
        self,
        description: Description,
        lane: int,
        number: int,
        context: RunContext,
        progress: Progress | None = None,
        passes: PassState | None = None,
    ) -> None:
        self.number = lane
        self.counters = Counters()
        self.progress = progress or Progress(context.epoch)
        place = WorkerInfo(lane, number)
        self._run = Run(description, context.epoch, place, self.counters, None, passes, ended=self.progress.ended)
        self._items: Iterator[Any] = iter(()) if self.progress.ended else self._run.items(self.progress)
        self.lineage, self.interrupt = self._run.lineage, self._run.interrupt

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            item = next(self._items)
        except StopIteration:
            self.progress.ended = self.progress.ended or not self._run.closed
            raise
        self.progress.items += 1
        return item

    def close(self) -> None:
        self._run.close()

    def state(self) -> list[Any]:
        return [[self.progress.items, self.progress.ended], pass_as_json(self._run.state())]


class LaneRun:
    """The items of some lanes, in turn; first those that have given fewer than others."""

    def __init__(self, lanes: list[Lane]) -> None:
        self._lanes = lanes
        self._latest: Lane | None = None

    def items(self) -> Iterator[Any]:
        going = [lane for lane in self._lanes if not lane.progress.ended]
        while going:
            most = max([lane.progress.items for lane in going])
            behind = [lane for lane in going if lane.progress.items < most]
            for lane in sorted(behind, key=lambda lane: lane.progress.items) or list(going):
                for item in lane:
                    self._latest = lane
                    yield item
                    break
                else:
                    going.remove(lane)

    def lineage(self) -> tuple[SampleTrace, ...]:
        return () if self._latest is None else self._latest.lineage()

    def state(self) -> dict[str, Any]:
        return {str(lane.number): lane.state() for lane in self._lanes}
