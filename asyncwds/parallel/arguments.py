"""The arguments that people know from torch's DataLoader: understood by `loader`, or refused with the word to use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value

SAME = {"num_workers": "processes", "prefetch_factor": "prefetch", "multiprocessing_context": "start_method"}
"""Other names of arguments that there are."""

INSTEAD: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "batch_size": ((None,), "the dataset makes batches, dataset.batched(n), since whole batches cross from a process"),
    "shuffle": ((None, False), "the dataset does: dataset.shuffle(n), and shardshuffle= of WebDataset"),
    "drop_last": ((None, False), "the dataset makes batches: dataset.batched(n, partial=False)"),
    "collate_fn": ((None,), "the dataset makes batches: dataset.batched(n, collation_fn=...)"),
    "sampler": (
        (None,),
        "nodesplitter= and workersplitter= of WebDataset share out shards, dataset.select picks samples",
    ),
    "batch_sampler": ((None,), "the dataset makes batches: dataset.batched(n)"),
    "timeout": ((None, 0), "retry=wds.Retry(stall_timeout=...) of WebDataset bounds the wait for data"),
    "generator": ((None,), "seed= of WebDataset makes the random orders"),
    "pin_memory_device": ((None, ""), "pin_memory= registers the memory with CUDA, for all devices"),
}
"""Arguments that `loader` has not: the values which ask for nothing, and what does it."""


def understood(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `loader` for those of a DataLoader. Raises SpecError for what it has not, and says what to use."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in SAME:
            _understand(name, value, found)
        elif name not in INSTEAD:
            raise SpecError(f"loader has no argument {name!r}; it has processes, prefetch, start_method, in_order, pin_memory, …")
        elif not any(value is nothing or (nothing is not None and value == nothing) for nothing in INSTEAD[name][0]):
            raise SpecError(f"loader has no {name}={show_value(value)}: {INSTEAD[name][1]}")
    return found


def _understand(name: str, value: Any, found: dict[str, Any]) -> None:
    if name == "num_workers" and value == 0 and not isinstance(value, bool):
        raise SpecError("loader has no num_workers=0: a loop over the dataset itself needs no process, `for batch in dataset`")
    if name == "multiprocessing_context" and hasattr(value, "get_start_method"):
        value = value.get_start_method()
    if value is not None:
        found[SAME[name]] = value
