"""The state of an iteration as a dict that JSON can have, which is what programs save."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.description import PassState, Progress
from asyncwds.pipeline.fingerprint import skips_in
from asyncwds.pipeline.state_shape import require_shape
from asyncwds.runtime.worker_info import WorkerInfo

FORMAT = 1
UNSKIPPED = "unskipped"
"""In the state of a dataset within another one: what goes on from it leaves nothing out."""


@dataclass(frozen=True)
class State:
    """How far an iteration has come: `place` is where it ran, None where it has not begun.

    `base` is what others left of the epoch, who began it; `merged` how far each of them had come, of which that is to be made.
    `skips` is what was left out, as a fingerprint says it; what goes on from an `unskipped` one leaves nothing out.
    """

    seed: int
    progress: Progress
    passes: PassState = PassState()  # noqa: RUF009 - frozen
    place: WorkerInfo | None = None
    base: Mapping[str, Any] | None = None
    merged: Mapping[str, Any] | None = None
    skips: tuple[str | None, ...] = ()
    unskipped: bool = False

    @property
    def has_begun(self) -> bool:
        begun = self.progress.items > 0 or self.progress.ended or self.passes.has_begun
        return begun or self.unskipped or self.base is not None or self.merged is not None

    @property
    def drops_items(self) -> bool:
        """Whether items are made again, and dropped."""
        stands = self.passes.stages is not None and not self.passes.skip
        return bool(self.progress.items) and not self.progress.ended and not stands

    def require_place(self, place: WorkerInfo) -> None:
        """Raises SpecError where another rank or worker would go on with it."""
        if self.place is None or self.place == place or not self.progress.items or self.progress.ended:
            return
        raise SpecError(
            f"the state is that of {describe_place(self.place)}, and this is {describe_place(place)}: as many ranks and workers as "
            "began an epoch go on with it, each from its own state, or others from what `merge_state_dicts` makes of all of them"
        )


def describe_place(place: WorkerInfo) -> str:
    return f"worker {place.worker} of {place.num_workers} of rank {place.rank} of {place.world_size}"


def require_nothing_kept(state: State, head: str, instead: str) -> None:
    """Raises SpecError where a stage behind what the pipeline begins with keeps items."""
    if state.passes.skip or any(each is not None for each in (state.passes.stages or ())[1:]):
        where = "" if state.place is None else f" of {describe_place(state.place)}"
        raise SpecError(f"in the state{where} a stage behind {head} keeps items: such stages belong {instead}")


def reasons(passes: PassState) -> list[tuple[str, bool]]:
    """Why a pass would be gone through again, and whether that reads shards; also one of the datasets that it begins with."""
    if not passes.items:
        return []
    found = [] if passes.reason is None else [(passes.reason, passes.reads_shards)]
    head = passes.stages[0] if passes.stages else None
    for inner in head.get("workers", ()) if isinstance(head, Mapping) else ():
        within = inner.get("pass") if isinstance(inner, Mapping) else None
        if within is not None:
            found += reasons(PassState(**within))
    return found


def as_state(state: State, description: Mapping[str, Any]) -> dict[str, Any]:
    passes, place = state.passes, state.place
    return {
        "format": FORMAT,
        "seed": state.seed,
        "epoch": state.progress.epoch,
        "items": state.progress.items,
        "ended": state.progress.ended,
        "worker_info": None if place is None else [place.rank, place.world_size, place.worker, place.num_workers],
        "description": description,
        "pass": pass_as_json(passes),
        "base": state.base,
        **({} if state.merged is None else {"merged": state.merged}),
    }


def pass_as_json(passes: PassState) -> dict[str, Any]:
    return {
        "number": passes.number,
        "items": passes.items,
        "skip": passes.skip,
        "stages": passes.stages,
        "reason": passes.reason,
        "reads_shards": passes.reads_shards,
        "kept": passes.kept,
        "tally": passes.tally,
        **({"left_out": [list(each) for each in passes.left_out]} if passes.left_out else {}),
    }


def from_state(state: Any) -> State:
    """Raises SpecError for what is no state, or of a later format."""
    try:
        progress = Progress(int(state["epoch"]), int(state["items"]), bool(state["ended"]))
        seed = int(state["seed"])
        if "format" not in state:  # those of version 0.1
            return State(seed, progress, PassState(items=progress.items))
        if state["format"] != FORMAT:
            raise SpecError(f"the state has format {state['format']}, and this version of asyncwds knows format {FORMAT}")
        require_shape(state)
        place = None if state["worker_info"] is None else WorkerInfo(*state["worker_info"])
        skips = tuple(skips_in(state.get("description")))
        base, merged, unskipped = state.get("base"), state.get("merged"), bool(state.get(UNSKIPPED))
        return State(seed, progress, PassState(**state["pass"]), place, base, merged, skips, unskipped)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"not the state of a pipeline: {show_value(state)}") from error
