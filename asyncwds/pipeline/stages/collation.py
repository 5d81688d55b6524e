"""How the values of a batch are combined: WebDataset's way, and one for nested and ragged data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.pipeline.stages.stacking import Ragged, join_ragged, pad, stack
from asyncwds.samples import whereabouts

Collation = Callable[[list[Any]], Any]
RaggedChoice = Literal["raise", "list", "pad", "values"]


def default_collation_fn(samples: list[Any], combine_tensors: bool = True, combine_scalars: bool = True) -> Any:
    """Samples → one sample of columns: tuples and lists give a tuple, dicts a dict with the first one's order of fields.

    In a column, numbers (int, float, bool) become an array [N], arrays and torch tensors of one shape an array or tensor
    [N, ...], and all else a list. Raises SampleError for samples of different fields, arrays of different shapes, and a
    column that has arrays and other values; SpecError for samples that are no tuples, lists or dicts.
    """
    return _columns(samples, partial(_combined, combine_tensors=combine_tensors, combine_scalars=combine_scalars))


def combine_values(b: Sequence[Any], combine_tensors: bool = True, combine_scalars: bool = True) -> Any:
    """One column, combined as in `default_collation_fn`."""
    return _combined("", list(b), combine_tensors, combine_scalars)


def with_tensors(values: Any) -> Any:
    """The values with torch tensors for arrays and numpy's numbers, in dicts, lists and tuples too, as a DataLoader makes them.

    What numpy has and torch has not (strings, objects, dates) is left. Memory is shared where torch can: arrays that may be
    written, in this machine's byte order and without negative strides.
    """
    import numpy as np  # noqa: PLC0415 - heavy
    import torch  # noqa: PLC0415 - heavy

    if isinstance(values, dict):
        return {name: with_tensors(value) for name, value in values.items()}
    if isinstance(values, Ragged):
        return Ragged(with_tensors(values.values), with_tensors(values.offsets))
    if isinstance(values, (list, tuple)):
        converted = [with_tensors(value) for value in values]
        if isinstance(values, list):
            return converted
        return values._make(converted) if hasattr(values, "_make") else tuple(converted)
    if not isinstance(values, (np.ndarray, np.generic)) or values.dtype.kind not in "biufc":
        return values
    native = np.require(values, values.dtype.newbyteorder("="), ["C", "W"])
    return torch.from_numpy(native)


def tuple2dict(values: Any) -> dict[Any, Any]:
    """(a, b) → {0: a, 1: b}; a dict is left as it is."""
    return values if isinstance(values, dict) else dict(enumerate(values))


def dict2tuple(values: Mapping[int, Any]) -> tuple[Any, ...]:
    """{0: a, 1: b} → (a, b)."""
    return tuple([values[index] for index in range(len(values))])


@dataclass(frozen=True, slots=True)
class Collate:
    """What `collate` gives."""

    ragged: RaggedChoice | Mapping[str, RaggedChoice] = "raise"
    pad_value: float | Mapping[str, float] = 0
    pad_to: int | Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        for choice in self.ragged.values() if isinstance(self.ragged, Mapping) else [self.ragged]:
            if choice not in {"raise", "list", "pad", "values"}:
                raise SpecError(f"ragged must be 'raise', 'list', 'pad' or 'values', not {choice!r}")
        for length in self.pad_to.values() if isinstance(self.pad_to, Mapping) else [self.pad_to or 1]:
            checks.whole("collate: pad_to", length, 1)
        if self.pad_to is not None and not isinstance(self.pad_to, Mapping) and not self._has_padding():
            raise SpecError("collate: pad_to needs fields that are padded, by ragged='pad' or by field; or pad_to by field")

    def _has_padding(self) -> bool:
        return "pad" in (self.ragged.values() if isinstance(self.ragged, Mapping) else [self.ragged])

    def __call__(self, samples: list[Any]) -> Any:
        return _columns(samples, self._column)

    def _column(self, field: object, values: list[Any]) -> Any:
        choice = self._choice(str(field))
        if all(isinstance(value, dict) for value in values):
            ragged = len({frozenset(value) for value in values}) > 1
            if ragged and choice == "list":
                return values
            return _columns(values, lambda name, inner: self._column(f"{field}.{name}", inner))
        arrays = [_as_array(value) for value in values]
        if any(array is None for array in arrays):
            return _combined(field, values)
        if choice == "values":
            return join_ragged(field, arrays, tensors=_are_tensors(field, arrays))
        length = self._pad_to(str(field)) if choice == "pad" else None
        if choice == "raise" or (length is None and len({tuple(array.shape) for array in arrays}) == 1):
            return _combined(field, arrays)
        value = self._pad_value(str(field))
        return values if choice == "list" else pad(field, arrays, value, length, tensors=_are_tensors(field, arrays))

    def _choice(self, field: str) -> RaggedChoice:
        if isinstance(self.pad_to, Mapping) and field in self.pad_to:
            return "pad"
        return self.ragged.get(field, "raise") if isinstance(self.ragged, Mapping) else self.ragged

    def _pad_to(self, field: str) -> int | None:
        return self.pad_to.get(field) if isinstance(self.pad_to, Mapping) else self.pad_to

    def _pad_value(self, field: str) -> float:
        return self.pad_value.get(field, 0) if isinstance(self.pad_value, Mapping) else self.pad_value


def collate(
    ragged: RaggedChoice | Mapping[str, RaggedChoice] = "raise",
    pad_value: float | Mapping[str, float] = 0,
    pad_to: int | Mapping[str, int] | None = None,
) -> Collate:
    """A collation for nested and ragged data: `batched(16, collation_fn=collate(ragged="pad", pad_value=0))`.

    As `default_collation_fn`, and besides fields that are dicts become dicts of columns, and lists and tuples of numbers count
    as arrays. Where the values of a field differ in shape, `ragged` says what becomes of them: "raise" raises SampleError,
    "list" leaves the list, "pad" fills each with `pad_value` at the end of every axis, up to the largest: [N, ...].
    "values" makes a `Ragged` in any case: all values behind each other, and offsets. `pad_to` is the length of the first axis of
    what is padded, the same in every batch; longer values are a SampleError.
    All may be dicts by field: "0", "1", … of tuples, "meta.size" of nested dicts; fields not in them are "raise" and 0, and those
    in `pad_to` are padded.
    """
    return Collate(ragged, pad_value, pad_to)


def _columns(samples: list[Any], column: Callable[[Any, list[Any]], Any]) -> Any:
    """Rows → columns, each made by `column` of the field (a name or a number) and its values."""
    if not samples:
        raise SpecError("there are no samples to collate")
    first = samples[0]
    if isinstance(first, dict):
        _require_equal(samples, [set(sample) if isinstance(sample, dict) else None for sample in samples], "fields")
        return {field: column(field, [sample[field] for sample in samples]) for field in first}
    if not isinstance(first, (tuple, list)):
        raise SpecError(
            f"samples to collate must be tuples, lists or dicts, not {type(first).__name__};"
            " see to_tuple, or batched(..., collation_fn=None) for plain lists"
        )
    _require_equal(samples, [len(sample) if isinstance(sample, (tuple, list)) else None for sample in samples], "lengths")
    return tuple([column(field, list(values)) for field, values in enumerate(zip(*samples, strict=True))])


def _require_equal(samples: list[Any], properties: list[Any], what: str) -> None:
    for sample, value in zip(samples, properties, strict=True):
        if value != properties[0]:
            each = " and ".join(map(_in_order, (properties[0], value)))
            raise SampleError(f"samples of one batch have different {what}: {each}", **whereabouts(sample))


def _in_order(value: Any) -> str:
    """The same text in every process, of sets too."""
    return str(sorted(value, key=str) if isinstance(value, set) else value)


def _combined(field: object, values: list[Any], combine_tensors: bool = True, combine_scalars: bool = True) -> Any:
    import numpy as np  # noqa: PLC0415 - heavy

    if all(isinstance(value, (int, float)) for value in values):
        return np.array(values) if combine_scalars else values
    kinds = (np.ndarray, _tensor_type())
    if not combine_tensors or not any(isinstance(value, kinds) for value in values):
        return values
    tensors = _are_tensors(field, values)
    shapes = sorted({tuple(value.shape) for value in values})
    if len(shapes) > 1:
        listed = ", ".join(map(str, shapes))
        raise SampleError(
            f"field {field!r} has different shapes in one batch: {listed}; make them alike before, as with decode_crop, "
            f"or say what becomes of them: batched(n, collation_fn=wds.collate(ragged='pad' or 'list' or 'values'))"
        )
    return stack(values, tensors=tensors)


def _tensor_type() -> Any:
    # Where torch has not been imported there are no tensors.
    return getattr(sys.modules.get("torch"), "Tensor", ())


def _are_tensors(field: object, values: list[Any]) -> bool:
    """Whether the values are all tensors, or all arrays; if neither, SampleError."""
    import numpy as np  # noqa: PLC0415 - heavy

    for kind in (np.ndarray, _tensor_type()):
        if all(isinstance(value, kind) for value in values):
            return kind is not np.ndarray
    kinds = sorted({type(value).__name__ for value in values})
    raise SampleError(f"field {field!r} has values of different kinds in one batch: {', '.join(kinds)}")


def _as_array(value: Any) -> Any:
    """The value as an array or tensor, if it is one or a (nested) list or tuple of numbers; else None."""
    import numpy as np  # noqa: PLC0415 - heavy

    if isinstance(value, (np.ndarray, _tensor_type())):
        return value
    if not isinstance(value, (list, tuple)):
        return None
    innermost: Any = value
    while isinstance(innermost, (list, tuple)) and innermost:
        innermost = innermost[0]
    if not isinstance(innermost, (int, float, complex, np.number, np.bool_, list, tuple)):
        return None
    try:
        array = np.array(value)
    except ValueError:  # lists of different lengths in one value
        return None
    # bool leaves the type of a batch to the values that are not empty
    return array.astype(bool) if array.size == 0 else array if array.dtype.kind in "biufc" else None
