"""The stage that collects samples in batches, and how their values are combined."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from asyncwds.errors import SampleError, SpecError
from asyncwds.model import whereabouts
from asyncwds.pipeline.handlers import note

Collation = Callable[[list[Any]], Any]


def default_collation_fn(samples: list[Any], combine_tensors: bool = True, combine_scalars: bool = True) -> Any:
    """Samples → one sample of columns: tuples and lists give a tuple, dicts a dict with the first one's order of fields.

    In a column, numbers (int, float, bool) become an array [N], arrays and torch tensors of one shape an array or tensor
    [N, ...], and all else a list. Raises SampleError for samples of different fields, arrays of different shapes, and a
    column that has arrays and other values; SpecError for samples that are no tuples, lists or dicts.
    """
    if not samples:
        raise SpecError("there are no samples to collate")

    def combined(field: object, values: list[Any]) -> Any:
        return _combined(field, values, combine_tensors, combine_scalars)

    first = samples[0]
    if isinstance(first, dict):
        _require_equal(samples, [set(sample) if isinstance(sample, dict) else None for sample in samples], "fields")
        return {field: combined(field, [sample[field] for sample in samples]) for field in first}
    if not isinstance(first, (tuple, list)):
        raise SpecError(
            f"samples to collate must be tuples, lists or dicts, not {type(first).__name__};"
            " see to_tuple, or batched(..., collation_fn=None) for plain lists"
        )
    _require_equal(samples, [len(sample) if isinstance(sample, (tuple, list)) else None for sample in samples], "lengths")
    return tuple([combined(field, list(column)) for field, column in enumerate(zip(*samples, strict=True))])


@dataclass(frozen=True, slots=True)
class Batched:
    """Collects `batchsize` samples at a time; without `collation_fn` as lists. `partial` keeps a last batch that is smaller."""

    batchsize: int = 20
    collation_fn: Collation | None = default_collation_fn
    partial: bool = True

    def __post_init__(self) -> None:
        if not hasattr(self.batchsize, "__index__") or self.batchsize < 1:
            raise SpecError(f"batched: batchsize must be at least 1, not {self.batchsize!r}")

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        samples = iter(source)
        while batch := list(islice(samples, self.batchsize)):
            if len(batch) == self.batchsize or self.partial:
                yield batch if self.collation_fn is None else self._collated(self.collation_fn, batch)

    def _collated(self, collation_fn: Collation, batch: list[Any]) -> Any:
        try:
            return collation_fn(batch)
        except Exception as error:
            note(error, f"batched({self.batchsize})", batch[0])
            raise


def batched(batchsize: int = 20, collation_fn: Collation | None = default_collation_fn, partial: bool = True) -> Batched:
    return Batched(batchsize, collation_fn, partial)


def _require_equal(samples: list[Any], properties: list[Any], what: str) -> None:
    for sample, value in zip(samples, properties, strict=True):
        if value != properties[0]:
            raise SampleError(f"samples of one batch have different {what}: {properties[0]} and {value}", **whereabouts(sample))


def _combined(field: object, values: list[Any], combine_tensors: bool, combine_scalars: bool) -> Any:
    import numpy as np  # noqa: PLC0415 - heavy

    # Where torch has not been imported there are no tensors.
    tensor: Any = getattr(sys.modules.get("torch"), "Tensor", ())
    if all(isinstance(value, (int, float)) for value in values):
        return np.array(values) if combine_scalars else values
    if not combine_tensors or not any(isinstance(value, (np.ndarray, tensor)) for value in values):
        return values
    for kind in (np.ndarray, tensor):
        if all(isinstance(value, kind) for value in values):
            _require_one_shape(field, values)
            return np.stack(values) if kind is np.ndarray else sys.modules["torch"].stack(values)
    kinds = sorted({type(value).__name__ for value in values})
    raise SampleError(f"field {field!r} has values of different kinds in one batch: {', '.join(kinds)}")


def _require_one_shape(field: object, values: list[Any]) -> None:
    shapes = sorted({tuple(value.shape) for value in values})
    if len(shapes) > 1:
        raise SampleError(f"field {field!r} has different shapes in one batch: {', '.join(map(str, shapes))}")
