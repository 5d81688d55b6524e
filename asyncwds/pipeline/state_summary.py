"""What a saved state says, in numbers, without the pipeline that it is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.fingerprint import differences
from asyncwds.pipeline.remainder import count_left
from asyncwds.pipeline.states import from_state

ONE, OTHER = "in the first", "in the second"


def summarize_state(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Of which epoch and place it is, how far that had come, and what it has to read again.

    Raises SpecError for what is no state.
    """
    state = from_state(saved)
    try:
        names = [str(stage).partition("(")[0] for stage in saved["description"]["stages"]]
        return {
            "rank": None if state.place is None else state.place.rank,
            "world_size": None if state.place is None else state.place.world_size,
            "worker": None if state.place is None else state.place.worker,
            "num_workers": None if state.place is None else state.place.num_workers,
            "epoch": state.progress.epoch,
            "pass": state.passes.number,
            "items": state.progress.items,
            "ended": state.progress.ended,
            "seed": state.seed,
            "stages": list(saved["description"]["stages"]),
            "shards": (saved["description"]["shards"] or {}).get("count"),
            **_position(state.passes.stages or []),
            "held": _held(names, state.passes.stages or []),
            "again": state.passes.skip if state.passes.stages else state.passes.items,
            "reason": state.passes.reason,
            "left": None if state.base is None else _left(state.base),
            "merged": None if state.merged is None else len(state.merged["places"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(f"not the state of a pipeline: {show_value(saved)}") from error


def _position(stages: Sequence[Any]) -> dict[str, int | None]:
    for stage in stages:
        if isinstance(stage, Mapping) and "position" in stage:
            return {"begun": stage["position"]["entered"], "open": len(stage["position"]["open"])}
    return {"begun": None, "open": None}


def _held(names: Sequence[str], stages: Sequence[Any]) -> dict[str, int]:
    """Items by stage; by name and number, where there are several of that name."""
    held = {}
    for number, (name, stage) in enumerate(zip(names, stages, strict=False)):
        items = stage.get("held") if isinstance(stage, Mapping) else None
        if items:
            held[name if names.count(name) == 1 else f"{name}, stage {number}"] = (
                items["items"] if isinstance(items, Mapping) else len(items)
            )
    return held


def _left(base: Mapping[str, Any]) -> dict[str, Any]:
    """What others left of the epoch."""
    counts = [count_left(packed) for packed in base["passes"].values()]
    whole, rests, samples = [sum(column) for column in zip((0, 0, 0), *counts, strict=True)]
    return {"merges": base["generation"], "items": base["items"], "whole": whole, "rests": rests, "samples": samples}


def compare_states(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """What is another thing in the other. Raises SpecError for what is no state."""
    summaries = summarize_state(one), summarize_state(other)
    yield from differences(one["description"], other["description"], strict=True, of=(ONE, OTHER))
    for name, value in summaries[0].items():
        if name != "stages" and summaries[1][name] != value:
            yield f"{name}: {show_value(value)} {ONE}, {show_value(summaries[1][name])} {OTHER}"
    if summaries[0] == summaries[1] and one.get("pass") != other.get("pass"):
        yield "what is held, or where in the open shards they stand"
