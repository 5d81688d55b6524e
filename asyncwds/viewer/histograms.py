"""How sizes, lengths and values are spread. No I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from asyncwds.index.columns import Columns

Of = Literal["size", "length", "words", "value"]
MEASURES: tuple[str, ...] = get_args(Of)

BINS = 32
_NAMES = 32  # values that are shown by name
_NO_VALUE = object()
LONGEST_NAME = 120  # characters


def field_sizes(shards: Sequence[Columns], name: str) -> NDArray[np.int64]:
    """[bytes] of this field, of all samples that have it; of "" what samples take in their shard."""
    if not name:
        return np.concatenate([np.zeros(0, np.int64), *[columns.ends - columns.offsets for columns in shards]])
    found: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for columns in shards:
        for number, names in enumerate(columns.schemas):
            lowered = [each.lower() for each in names]
            if name in lowered:
                rows = np.flatnonzero(columns.schema == number)
                found.append(columns.sizes[columns.first_members[rows] + lowered.index(name)])
    return np.concatenate(found)


def measure(data: bytes, of: Of, path: str) -> Any:
    """Of the bytes of a field: its length [characters] or [words], or its value, in JSON that at `path` ("size.width"). Of lists
    and dicts the histogram is of how many items they have.

    Returns NO_VALUE where there is none.
    """
    text = data.decode("utf-8", "replace")
    if of == "length":
        return len(text.strip())
    if of == "words":
        return len(text.split())
    return _value(text.strip(), path)


NO_VALUE = _NO_VALUE


def _value(text: str, path: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _NO_VALUE if path else text
    for name in path.split(".") if path else ():
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return _NO_VALUE
    return value


def leaf_paths(data: bytes, most: int) -> list[str]:
    """Of the values in JSON."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    waiting = [("", value)]
    while waiting and len(found) < most:
        path, value = waiting.pop(0)
        if isinstance(value, dict):
            waiting += [(f"{path}.{name}" if path else name, each) for name, each in value.items() if "." not in name]
        elif path:
            found.append(path)
    return found


def histogram(values: Sequence[Any] | NDArray[Any]) -> dict[str, Any]:
    """Bins of numbers, or the values that are most frequent, by name; for JSON."""
    if isinstance(values, np.ndarray):
        return _of_numbers(values)
    known = [len(value) if isinstance(value, list | dict) else value for value in values if value is not _NO_VALUE]
    names = Counter(known_name(value) for value in known)
    numeric = bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    if numeric and len(names) > _NAMES:
        return _of_numbers(np.array(known, np.float64))
    order = sorted(names, key=float) if numeric else [name for name, _ in names.most_common()]
    shown = order[:_NAMES]
    rest = sum(names[name] for name in order[_NAMES:])
    return {
        "kind": "names",
        "bars": [{"name": name, "count": names[name]} for name in shown],
        "others": {"names": len(order) - len(shown), "count": rest},
        "count": len(known),
        "missing": len(values) - len(known),
    }


def known_name(value: Any) -> str:
    return str(value)[:LONGEST_NAME] if isinstance(value, str) else json.dumps(value)


def _of_numbers(values: NDArray[Any]) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    result = {"kind": "numbers", "count": len(finite), "missing": len(values) - len(finite), "bars": []}
    if not len(finite):
        return result
    low, high = float(finite.min()), float(finite.max())
    counts, edges = np.histogram(finite, bins=_edges(finite, low, high))
    bars = [
        {"from": float(begin), "to": float(end), "count": int(count)}
        for count, begin, end in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    described = {
        "min": low,
        "max": high,
        "mean": float(finite.mean()),
        "median": float(np.median(finite)),
        "sum": float(finite.sum()),
    }
    return {**result, "bars": bars, **described}


def _edges(values: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Of whole numbers no bin is narrower than 1; where a few are far larger than most, each bin is by a factor wider."""
    if low == high:
        return np.array([low, high + 1.0])
    if low > 0 and high > 20 * float(np.median(values)):
        return np.geomspace(low, high, BINS + 1)
    whole = values.dtype.kind in "iu" or bool((values == np.floor(values)).all())
    bins = min(BINS, max(1, int(high - low))) if whole else BINS
    return np.linspace(low, high, bins + 1)
