"""What a pipeline asks of what it begins with: another pipeline, a mix, a DataLoader, a list, shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncwds.pipeline.adapt import adapt_head, follows_pass
from asyncwds.pipeline.fingerprint import order_of
from asyncwds.runtime.torch_iterable import TorchIterable

Stages = Sequence[Any]


def inner(head: Any, method: str) -> Any:
    """The `stats` or `report` of a pipeline that another one begins with, perhaps in a DataLoader; None for what has none."""
    while not isinstance(head, TorchIterable) or not hasattr(head, method):
        if not hasattr(head, "dataset"):
            return None
        head = head.dataset
    return getattr(head, method)()


def set_epoch(stages: Stages, epoch: int) -> None:
    """Tells it, or the dataset of a DataLoader, unless the pass tells."""
    head: Any = stages[0] if stages else None
    told: Any
    for told in (head, getattr(head, "dataset", None)):
        if hasattr(told, "set_epoch") and not follows_pass(told):
            told.set_epoch(epoch)


def with_beginning(state: dict[str, Any], stages: Stages) -> dict[str, Any]:
    """The state of an iteration that is to begin, with what it says that this one begins with."""
    head = _adapted(stages)
    return {**state, "head": head.beginning()} if hasattr(head, "beginning") else state


def begin_from(stages: Stages, state: Any) -> None:
    """The next iteration begins with what such a state had."""
    _adapted(stages).begin_from(state)


def repeats(stages: Stages) -> bool:
    """Whether an epoch that is gone through again has the same items in the same order, as far as can be told."""
    head = _adapted(stages)
    ordered = not any(order_of(stage) == "arrival" for stage in stages)
    return ordered and (bool(head.repeats()) if hasattr(head, "repeats") else order_of(stages[0]) is not None)


def weight_changes(stages: Stages) -> int:
    """How often weights of mixes in it were set by hand."""
    head = _adapted(stages)
    return int(head.weight_changes()) if hasattr(head, "weight_changes") else 0


def _adapted(stages: Stages) -> Any:
    return adapt_head(stages[0]) if stages else None
