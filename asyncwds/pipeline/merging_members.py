"""States of pipelines that begin with others, as those with mixes do, made into one: of each dataset within, what is left of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.description import PassState, Progress
from asyncwds.pipeline.mix_order import merge_orders
from asyncwds.pipeline.remainder import passes_of
from asyncwds.pipeline.states import State, as_state, pass_as_json, require_nothing_kept

Saved = Mapping[str, Any]
Merge = Callable[[list[Any]], dict[str, Any]]
"""Makes one of the states of one dataset at all places."""
Head = tuple[State, Any]
"""A state, and that of what the pipeline begins with; None where nobody knows it."""


def begins_with_datasets(description: Any) -> bool:
    return bool((description or {}).get("within"))


def merge_within(states: Sequence[State], description: Saved, merge: Merge) -> dict[str, Any]:
    """Raises SpecError where a dataset within can't be merged, and where a stage behind them keeps something."""
    first = states[0]
    going = [state for state in states if state.progress.items and not state.progress.ended]
    if not any(state.passes.stages for state in states) or all(state.progress.ended for state in states):
        return as_state(first, description)  # nobody has begun, or all have ended
    number = max([state.passes.number for state in states if not state.progress.ended], default=0)
    if any(state.passes.number != number for state in going):
        raise SpecError(
            "the states are of different passes over the data: what begins with other datasets is gone on with in one. Merge "
            "states of the same pass, or repeat the datasets within (`dataset.repeat(n)`), which may be in different ones"
        )
    for state in going:
        require_nothing_kept(state, "the datasets that it begins with", "into these")
    heads = [(state, (state.passes.stages or [None])[0]) for state in states]
    behind = max([len(state.passes.stages or ()) for state in states]) - 1
    stages = [_merge_heads(heads, merge), *[None] * behind]
    return as_state(State(first.seed, Progress(first.progress.epoch), PassState(number, 0, 0, stages)), description)


def _merge_heads(heads: Sequence[Head], merge: Merge) -> dict[str, Any]:
    found = [head for _, head in heads if head is not None]
    if any("dataset" in head for head in found):
        raise SpecError("a stage behind a DataLoader keeps items: such stages belong into its dataset")
    try:
        numbers = {len(head["workers"]) for head in found}
    except (KeyError, TypeError) as error:
        raise SpecError(f"not the state of datasets that a pipeline begins with: {show_value(found[0])}") from error
    if len(numbers) != 1:
        raise SpecError("the states are of mixes of different numbers of datasets")
    orders = [head["order"] for head in found if head.get("order") is not None]
    members = [
        _merge_member([(state, head and head["workers"][number]) for state, head in heads], merge) for number in range(*numbers)
    ]
    return {"workers": members, **({"order": merge_orders(orders)} if orders else {})}


def _merge_member(members: Sequence[Head], merge: Merge) -> Any:
    known = [member for _, member in members if member is not None]
    if any(not isinstance(member, Mapping) or ("pass" not in member and "workers" not in member) for member in known):
        raise SpecError(f"each rank and worker gives all of what has the state {show_value(known[0])}: nothing is left for others")
    if known and "pass" not in known[0]:  # a mix within a mix
        return _merge_heads(members, merge)
    begun = [member for member in known if _has_begun(member)]
    if not begun:
        return known[0] if known else None
    return merge([_at_place(state, member, begun[0]) for state, member in members])


def _has_begun(member: Any) -> bool:
    return isinstance(member, Mapping) and member.get("merged") is None and member["worker_info"] is not None


def _at_place(state: State, member: Any, like: Saved) -> Saved:
    """A dataset's state; where the place has ended, or not begun with it, one that says so, made like that of another place."""
    if _has_begun(member) and not state.progress.ended:
        return member  # type: ignore[no-any-return]
    ended = state.progress.ended or (member is not None and member["ended"])
    place = None if state.place is None else astuple(state.place)
    first = min(passes_of(like.get("base")), default=0)  # with which each place begins, however far others have come
    return {**like, "items": 0, "ended": ended, "worker_info": place, "pass": pass_as_json(PassState(first))}
