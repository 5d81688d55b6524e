"""What is left of an epoch, of merged states and of the pipeline that they are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from asyncwds.engine.positions import HeldShard, unpack_shards, with_limits
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.pipeline.clock import stage_name
from asyncwds.pipeline.description import Description, PassState
from asyncwds.pipeline.held import Ref, unpack_refs
from asyncwds.pipeline.merging import require_merged
from asyncwds.pipeline.open_pass import epoch_of_pass
from asyncwds.pipeline.reading import given_alone, position_of
from asyncwds.pipeline.remainder import Remainder, passes_of, remainder_of
from asyncwds.pipeline.settling import settled
from asyncwds.pipeline.states import State
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.shards.plan import Resampled
from asyncwds.shards.shard import Shard

Saved = Mapping[str, Any]


@dataclass(frozen=True)
class PlaceState:
    """How far a rank's worker had come."""

    place: WorkerInfo
    ended: bool
    passes: PassState


def with_remainder(state: State, description: Description) -> State:
    """The same, where it is a merged one, with what is left of the epoch in place of what each rank and worker said.

    Raises SpecError where this pipeline cannot be gone on with by others.
    """
    if state.merged is None:
        return state
    source = description.stages[0]
    if not isinstance(source, Source):
        raise SpecError("merged states are of a pipeline that begins with the shards of a WebDataset")
    found = [PlaceState(*each) for each in require_merged(state.merged)]
    _require_divisible(source, {each.place for each in found})
    _require_elastic(description.stages, [each.passes.stages for each in found if each.passes.stages])
    found = [_settled(each, state, description) for each in found]
    left = {
        number: _of_pass(number, found, state, source)
        for number in _numbers(found, passes_of(state.base), description.passes, ended=state.progress.ended)
    }
    before: Saved = state.base or {"items": 0, "generation": 0}
    base = {
        "generation": before["generation"] + 1,
        "items": before["items"] + state.merged["items"],
        "passes": {str(number): remainder.as_json(source.urls) for number, remainder in left.items()},
    }
    return replace(state, passes=PassState(min(left, default=0)), base=base, merged=None)


def _numbers(found: Sequence[PlaceState], known: Iterable[int], passes: int | None, *, ended: bool) -> list[int]:
    """The passes that somebody has begun and somebody has not ended."""
    if ended:
        return []
    going = [each.passes.number for each in found if not each.ended]
    first = min(going, default=0)
    behind = [passes - 1] if passes is not None and any(each.ended for each in found) else []
    return list(range(first, max([*going, *behind, *known, first]) + 1))


def _settled(each: PlaceState, state: State, description: Description) -> PlaceState:
    """With the states of its stages behind what it gave, where they are from some items before: these are made again."""
    if each.ended:
        return each
    return replace(each, passes=settled(description, state.progress.epoch, each.place, each.passes, state.base))


# -- one pass


def _of_pass(number: int, found: Sequence[PlaceState], state: State, source: Source) -> Remainder:
    epoch = epoch_of_pass(state.progress.epoch, number)
    base = remainder_of(state.base, number, source.urls)
    shards: list[Shard] = []
    samples: list[Ref] = []
    held: dict[int, HeldShard] = {} if base is None else dict(base.held)
    planned: list[int] = []
    for each in found:
        if base is None:
            plan, alone = list(source.shards(epoch, each.place)), []
            planned += [shard.index for shard in plan]
        else:
            share = base.share(each.place, source, epoch)
            plan, alone = share.shards, list(chain.from_iterable(share.samples))
        if each.ended or each.passes.number > number:
            continue
        stages = each.passes.stages if each.passes.number == number else None
        if stages is None:
            shards += plan
            samples += alone
            continue
        position = with_limits(position_of(stages[0], source.urls), plan)
        shards += [shard.rest() for shard in position.open] + plan[position.entered :]
        kept, of_shards = _held_of(stages, source.urls)
        samples += alone[given_alone(stages[0]) :] + kept
        held.update(of_shards)
    if len(set(planned)) < len(planned):
        raise SpecError("a shard comes more than once in this epoch, so that nobody knows which of its samples came from where")
    generation = 1 if state.base is None else state.base["generation"] + 1
    left = {ref[0] for ref in samples}
    return Remainder(generation, tuple(shards), tuple(sorted(samples)), {index: held[index] for index in left})


def _held_of(stages: Sequence[Any], urls: Sequence[str]) -> tuple[list[Ref], dict[int, HeldShard]]:
    """Samples that stages held, and their shards."""
    kept: list[Ref] = []
    indexes: set[int] = set()
    for state in stages:
        if isinstance(state, Mapping) and state.get("held"):
            items = unpack_refs(state["held"])
            indexes.update([index for refs in items for index, _, _ in refs])
            kept += _not_given(state, items)
    return kept, unpack_shards(stages[0].get("shards"), sorted(indexes), urls) if indexes else {}


def _not_given(state: Saved, items: Sequence[tuple[Ref, ...]]) -> list[Ref]:
    """Of a batch that is taken apart, the samples of rows that were not given."""
    refs = list(chain.from_iterable(items))
    if "row" not in state:
        return refs
    if state.get("rows") != len(refs):
        raise SpecError(
            f"a state is in the middle of a batch, of which {state['row']} rows were given, and for which {len(refs)} samples were "
            "taken: nobody knows which rows are of which samples. Take states between two batches"
        )
    return refs[state["row"] :]


# -- what cannot be gone on with by others


def _require_divisible(source: Source, places: Iterable[WorkerInfo]) -> None:
    if source.split is not None:
        raise SpecError(
            "with split='samples' each rank and worker has as many samples: they are gone on with at their number only. With "
            "`lanes(n)` too, n streams have as many samples each, which other numbers of ranks and workers that divide n go on with"
        )
    if isinstance(source.draw, Resampled):
        raise SpecError("what is resampled has no end, of which something could be left: it is gone on with at its size only")
    for splitter, name, number in (
        (source.nodesplitter, "nodesplitter", max([place.world_size for place in places], default=1)),
        (source.workersplitter, "workersplitter", max([place.num_workers for place in places], default=1)),
    ):
        if splitter is None and number > 1:
            raise SpecError(f"with {name}=None each of {number} reads all shards: there is nothing that others could share out")


def _require_elastic(stages: Sequence[Any], states: Sequence[Sequence[Any]]) -> None:
    """Raises SpecError where stages that are opened anew would do another thing with what is left than they did before."""
    chooser = None
    for number, stage in enumerate(stages):
        name = stage_name(stage)
        said = [state[number] for state in states if state[number] is not None]
        own = type(stage).__module__.startswith("asyncwds.")
        if own and not getattr(stage, "elastic", True):
            raise SpecError(f"{name} counts the samples of each rank and worker, and is gone on with at its size only")
        if said and not own and not getattr(stage, "elastic", False):
            raise SpecError(
                f"{name} has a state, and does not say that it can begin anew with what is left of an epoch and what it held: "
                "an attribute `elastic = True` says so"
            )
        if chooser is not None and any(state.get("held") for state in said):
            raise SpecError(f"{chooser} would be asked again about samples that {name} held, which it has let pass")
        chooser = name if getattr(stage, "chooses_by_chance", False) else chooser
