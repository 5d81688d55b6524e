"""What an item changes in the state of an iteration, for whoever takes the items in another process."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from asyncwds.pipeline.description import PassState, Progress
from asyncwds.runtime.state_changes import StateChange
from asyncwds.runtime.tally import Tally

SHARE = 100  # of what whole states may cost


class StateChanges:
    """Of one iteration: whole states now and then, and in between how many items came since, which are made again and dropped.

    Items that cannot be made again, as in the order of arrival, have a whole state each.
    """

    def __init__(self) -> None:
        self._base: tuple[int, PassState, int] | None = None
        self._due = 0.0
        self._weight_changes = 0

    def after(
        self,
        progress: Progress,
        state: Callable[[], PassState],
        describe: Callable[[PassState], dict[str, Any]],
        tally: Tally,
        *,
        drops_right: bool,
        weight_changes: int,
    ) -> StateChange:
        began = monotonic()
        if weight_changes != self._weight_changes or progress.ended or not drops_right or began >= self._due:
            self._base, self._weight_changes = None, weight_changes
        if self._base is None:
            passes = state()
            described = describe(passes)
            self._base = progress.items, passes, tally.left_out
            self._due = monotonic() + SHARE * (monotonic() - began)
            return StateChange(described, True, passes.reason if passes.reads_shards else None)
        items, base, before = self._base
        since = progress.items - items
        skip = base.skip + since if base.stages is not None else 0
        values: dict[str, Any] = {"items": base.items + since, "skip": skip}
        if tally.left_out > before or base.left_out:
            values["left_out"] = [*base.left_out, *tally.left_out_since(before)]
        return StateChange({"items": progress.items, "pass": values}, False)
