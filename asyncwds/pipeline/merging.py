"""States of all ranks and workers of an epoch, made into one from which any number of others goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from typing import Any, Literal

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.description import PassState, Progress
from asyncwds.pipeline.fingerprint import differences
from asyncwds.pipeline.merging_lanes import LANES, merge_lanes
from asyncwds.pipeline.merging_members import begins_with_datasets, merge_within
from asyncwds.pipeline.states import State, as_state, describe_place, from_state
from asyncwds.runtime.worker_info import WorkerInfo

SHOWN = 5  # of those that are missing

Saved = Mapping[str, Any]


def merge_state_dicts(states: Iterable[Any], missing: Literal["error", "redeliver"] = "error") -> dict[str, Any]:
    """One state of the states of all ranks and workers: what is left of their epoch, for any number of ranks and workers.

        state = wds.merge_state_dicts(states)  # those that each rank saved
        dataset.load_state_dict(state)         # the same on every rank

    Each sample that none of them gave is given once, by one of the new ones, and their states can be merged again. `states` may
    be of different moments. A dict or list that has states in it, as a StatefulDataLoader's, counts as these. Where one of a rank
    or worker is missing it is an error; with "redeliver" what it gave, and nobody knows, is given again.

    Raises SpecError where states are not of one epoch of one pipeline, and where a state does not say what was given.
    """
    checks.one_of("merge_state_dicts: missing", missing, ("error", "redeliver"))
    found = [_begun(saved) for each in states for saved in find_states(each)]
    if not found:
        raise SpecError("there are no states to merge")
    saved, first = found[0]
    if len(found) == 1 and first.merged is not None:
        return dict(saved)
    _require_alike([saved for saved, _ in found])
    if _begins_with(saved) == LANES:
        return merge_lanes([state for _, state in found], saved["description"], missing)
    if begins_with_datasets(saved["description"]):
        return merge_within([state for _, state in found], saved["description"], partial(merge_state_dicts, missing=missing))
    places = _by_place([state for _, state in found])
    if not places:
        return dict(saved)  # nobody has begun
    absent = _missing(list(places))
    nameless = sum([state.place is None for _, state in found])  # they have not begun, and did not look who they are
    if len(absent) > nameless and missing == "error":
        some = ", ".join(map(describe_place, absent[:SHOWN])) + (f" and {len(absent) - SHOWN} more" if absent[SHOWN:] else "")
        raise SpecError(
            f'there are no states of {some}; missing="redeliver" takes it that they gave nothing, and what they gave comes again'
        )
    ended = not absent and all(state.progress.ended for state in places.values())
    whole = State(first.seed, Progress(first.progress.epoch, 0, ended), PassState(), None, first.base, _merged(places, absent))
    return as_state(whole, saved["description"])


def _merged(places: Mapping[WorkerInfo, State], absent: Sequence[WorkerInfo]) -> dict[str, Any]:
    return {
        "items": sum([state.progress.items for state in places.values()]),
        "places": [
            [
                astuple(place),
                state.progress.ended,
                [state.passes.number, state.passes.items, state.passes.skip, state.passes.stages, list(state.passes.left_out)],
            ]
            for place, state in sorted(places.items(), key=lambda pair: astuple(pair[0]))
        ]
        + [[astuple(place), False, [0, 0, 0, None, []]] for place in absent],
    }


def find_states(value: Any) -> Iterator[Saved]:
    """The states of pipelines in what others made of them.

    Raises SpecError where a StatefulDataLoader has given more since then.
    """
    if isinstance(value, Mapping):
        loader = _loader_in(value)
        if loader is not None:
            for worker in loader["workers"]:
                yield from find_states(loader["dataset"] if worker is None else worker)
            return
        if "pass" in value and "worker_info" in value:
            yield value
            return
        if value.get("_steps_since_snapshot"):
            raise SpecError(
                f"the states in a StatefulDataLoader's are {value['_steps_since_snapshot']} batches old: those would come again. "
                "Make it with snapshot_every_n_steps=1, or take its state where it has just taken theirs"
            )
        for one in value.values():
            yield from find_states(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from find_states(one)


def _loader_in(value: Saved) -> Saved | None:
    """Where it is the state of a loader, or of a WebLoader that keeps nothing by itself: that of the loader."""
    if value.keys() >= {"workers", "order", "dataset"}:
        return value
    passes = value.get("pass")
    stages = passes.get("stages") if isinstance(passes, Mapping) and not passes.get("skip") else None
    if not isinstance(stages, list) or not stages or any(stage is not None for stage in stages[1:]):
        return None
    return _loader_in(stages[0]) if isinstance(stages[0], Mapping) and "workers" in stages[0] else None


def _begun(saved: Saved) -> tuple[Saved, State]:
    state = from_state(saved)
    passes, begun = state.passes, state.progress.items and not state.progress.ended
    description = saved.get("description") or {}
    if description.get("shards") is None and _begins_with(saved) != LANES and not begins_with_datasets(description):
        raise SpecError(
            f"a pipeline that begins with {_begins_with(saved)}, and not with the shards of a WebDataset, is gone on with at its "
            "size only"
        )
    if description.get("items") is not None:
        raise SpecError(
            f"each rank and worker gives {description['items']} items in an iteration (with_epoch), however many they are, so that "
            "nothing is left of it for others"
        )
    if passes.kept:
        raise SpecError("a stage gives what it kept of an earlier pass, which is of as many ranks and workers")
    if begun and passes.items and passes.stages is None and passes.reason is not None:
        who = "" if state.place is None else f" of {describe_place(state.place)}"
        raise SpecError(f"the state{who} does not say which samples were given: {passes.reason}")
    return saved, state


def _begins_with(saved: Saved) -> str:
    stages = (saved.get("description") or {}).get("stages")
    return str(stages[0]) if stages else "nothing that is known"


def _require_alike(states: Sequence[Saved]) -> None:
    first = states[0]
    if any(state.get("merged") is not None for state in states):
        raise SpecError("one of the states is a merged one, which stands for all ranks and workers")
    for other in states[1:]:
        for name in ("seed", "epoch"):
            if other[name] != first[name]:
                raise SpecError(f"the states are of different {name}s: {first[name]} and {other[name]}")
        changed = differences(
            first.get("description") or {}, other.get("description") or {}, strict=True, of=("in one", "in another")
        )
        if changed:
            raise SpecError(f"the states are of different pipelines: {'; '.join(changed)}")
        if other.get("base") != first.get("base"):
            raise SpecError("the states are of an epoch that was gone on with from different states")


def _by_place(states: Sequence[State]) -> dict[WorkerInfo, State]:
    places: dict[WorkerInfo, State] = {}
    for state in states:
        if state.place is None:
            continue
        known = places.setdefault(state.place, state)
        if known != state:
            raise SpecError(f"there are two states of {describe_place(state.place)}")
        if state.place.world_size != next(iter(places)).world_size:
            raise SpecError(f"the states are of {next(iter(places)).world_size} ranks and of {state.place.world_size}")
    return places


def _missing(places: Sequence[WorkerInfo]) -> list[WorkerInfo]:
    workers = {place.rank: place.num_workers for place in places}
    if not workers:
        return []
    world_size, usual = places[0].world_size, max(workers.values())
    expected = [
        WorkerInfo(rank, world_size, worker, workers.get(rank, usual))
        for rank in range(world_size)
        for worker in range(workers.get(rank, usual))
    ]
    return [place for place in expected if place not in places]


def require_merged(merged: Any) -> list[tuple[WorkerInfo, bool, PassState]]:
    """Of each place, whether it had come to the end, and where it stood. Raises SpecError for what is nothing of the kind."""
    try:
        return [
            (WorkerInfo(*place), bool(ended), PassState(number, items, skip, stages, left_out=left_out))
            for place, ended, (number, items, skip, stages, left_out) in merged["places"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"not what states were merged to: {show_value(merged)}") from error
