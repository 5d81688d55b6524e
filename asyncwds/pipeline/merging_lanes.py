"""States of ranks that read lanes, made into one with all lanes: each rank goes on with those that are its own then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.description import PassState, Progress
from asyncwds.pipeline.state_shape import is_count, require_progress
from asyncwds.pipeline.states import State, as_state, pass_as_json, require_nothing_kept

LANES = "Lanes"


def merge_lanes(states: Sequence[State], description: Mapping[str, Any], missing: str) -> dict[str, Any]:
    """Raises SpecError where lanes are missing, and where a stage behind them keeps something."""
    first = states[0]
    going = [state for state in states if state.passes.stages]
    if not going:
        return as_state(first, description)  # nobody has begun, or all have ended
    passes = going[0].passes
    if any(state.passes.number != passes.number for state in going):
        raise SpecError("the states are of different passes over the data: lanes are gone on with in one of them")
    head = _head_of(going[0])
    if not is_count(head.get("number")):
        raise SpecError(f"the state is damaged: the number of lanes is {show_value(head.get('number'))}")
    lanes = _lanes_of(going) | _ended_lanes([state for state in states if state.progress.ended], head["number"])
    absent = [lane for lane in range(head["number"]) if lane not in lanes]
    if absent and missing == "error" and len(states) < _number_of_places(states):
        raise SpecError(
            f'there are no states of the lanes {", ".join(map(str, absent))}; missing="redeliver" takes it that they gave nothing, '
            "and what they gave comes again"
        )
    lanes |= {lane: _lane(0, ended=False) for lane in absent}
    items = sum([came[0] for came, _ in lanes.values()])
    rest = [None] * (len(passes.stages or ()) - 1)
    merged = PassState(passes.number, items, 0, [{**head, "lanes": {str(lane): lanes[lane] for lane in sorted(lanes)}}, *rest])
    return as_state(State(first.seed, Progress(first.progress.epoch, items), merged), description)


def _number_of_places(states: Sequence[State]) -> int:
    return max([state.place.world_size * state.place.num_workers for state in states if state.place is not None], default=0)


def _head_of(state: State) -> Any:
    return (state.passes.stages or [{}])[0]


def _lane(items: int, *, ended: bool) -> list[Any]:
    return [[items, ended], pass_as_json(PassState())]


def _lanes_of(states: Sequence[State]) -> dict[int, Any]:
    """Of a lane that several know, what has come furthest: others have it from an earlier state."""
    lanes: dict[int, Any] = {}
    for state in states:
        require_nothing_kept(state, "the lanes", "before them")
        try:
            for lane, (came, passes) in _head_of(state)["lanes"].items():
                require_progress(came)
                known = lanes.get(int(lane))
                if known is None or known[0] < came:
                    lanes[int(lane)] = [came, passes]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SpecError(f"not the state of lanes: {show_value(_head_of(state))}") from error
    return lanes


def _ended_lanes(states: Sequence[State], number: int) -> dict[int, Any]:
    """Those of ranks that have come to the end, and do not say how."""
    places = [state.place for state in states if state.place is not None]
    return {
        lane: _lane(0, ended=True)
        for place in places
        for lane in range(place.rank * place.num_workers + place.worker, number, place.world_size * place.num_workers)
    }
