"""States of iterations that run in workers: with each item comes what it changes, which counts once the item is taken.

So nobody has to ask the workers, and what they have made ahead is not in the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

State = Mapping[str, Any]
READ_AGAIN = (
    "an iteration that goes on from this state reads its pass over the shards again from the beginning, and drops what was given. "
    "Give the stage `state` and `reopen`, or mark a function that keeps nothing between two items with `asyncwds.stateless`"
)


class StateChange(NamedTuple):
    """Of a worker's state, values that are others; where it is `whole`, all of it. `warning` says what going on from it costs."""

    values: State
    whole: bool = True
    warning: str | None = None


def change_of(dataset: Iterable[Any]) -> StateChange | None:
    """What the latest item of a dataset has changed; None where it has no state."""
    if hasattr(dataset, "state_change"):
        change: StateChange = dataset.state_change()
        return change
    return StateChange(dataset.state_dict()) if hasattr(dataset, "state_dict") else None


def load(dataset: Any, state: State, *, strict: bool = True) -> None:
    """Makes the next iteration over a dataset the rest of that which a state is of. `strict` is a word of ours."""
    if hasattr(dataset, "state_change"):
        dataset.load_state_dict(state, strict)
    else:
        dataset.load_state_dict(state)


def changed(state: State | None, change: StateChange) -> State:
    if change.whole or state is None:
        return change.values
    own = state
    return {**own, **{name: {**own[name], **new} if isinstance(new, dict) else new for name, new in change.values.items()}}
