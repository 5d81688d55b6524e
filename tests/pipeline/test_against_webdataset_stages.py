"""The stages do what WebDataset's do."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from webdataset.filters import default_collation_fn as their_collation_fn

from asyncwds.pipeline import stages
from asyncwds.pipeline.batching import batched, default_collation_fn
from asyncwds.pipeline.shuffle import Shuffle

SIZES = st.integers(0, 50) | st.integers(0, 2000)


@given(st.integers(0, 700), SIZES, SIZES, st.integers(0, 2**64))
def test_the_order_of_a_shuffle(items: int, size: int, initial: int, seed: int) -> None:
    theirs = list(webdataset.shuffle(size, initial=initial, seed=seed)(iter(range(items))))
    assert list(Shuffle(size, initial=initial, seed=seed)(range(items))) == theirs
    assert list(Shuffle(size, initial=initial, rng=Random(seed))(range(items))) == theirs


@pytest.mark.parametrize("size", [2, 10, 99, 100, 101, 1000])
def test_the_order_of_a_shuffle_with_the_defaults(size: int) -> None:
    for items in (0, 1, 99, 100, 101, 1500):
        for seed in range(3):
            theirs = list(webdataset.shuffle(size, seed=seed)(iter(range(items))))
            assert list(Shuffle(size, seed=seed)(range(items))) == theirs


SAMPLES = [
    {"__key__": "k1", "__url__": "u", "a": 1, "b": "x", "n": None},
    {"__key__": "k2", "__url__": "u", "a": 2, "c": "y", "n": 0},
]


def copies() -> Any:
    return iter([dict(sample) for sample in SAMPLES])


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("map", (lambda item: {"x": item["a"]},), {}),
        ("map", (lambda item: item["n"],), {}),
        ("map", (lambda item: (item["a"], 0),), {}),
        ("select", (lambda item: item["n"] is None,), {}),
        ("to_tuple", ("__key__", "a"), {}),
        ("to_tuple", ("__key__ b;c a",), {}),
        ("to_tuple", ("a", ["c", "b"]), {}),
        ("to_tuple", ("b", "a", "n"), {"missing_is_error": False}),
        ("to_tuple", ("n",), {"none_is_error": False}),
        ("rename", (), {"x": "b;c", "y": "a"}),
        ("rename", (), {"x": "b;c", "keep": False}),
        ("rename", (), {"a": "n", "n": "a"}),
        ("rename", (), {"a": "n;a"}),
        ("slice", (1,), {}),
        ("slice", (1, None), {}),
    ],
)
def test_stages_on_samples(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    theirs = list(getattr(webdataset, name)(*arguments, **options)(copies()))
    assert list(getattr(stages, name)(*arguments, **options)(copies())) == theirs


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("to_tuple", ("b",)),
        ("to_tuple", ("a", "n")),
        ("to_tuple", ("n;a",)),
        ("rename", ()),
        ("map", (lambda item: item["b"],)),
    ],
)
@pytest.mark.parametrize("handler", ["ignore_and_continue", "ignore_and_stop", "reraise_exception"])
def test_stages_on_samples_that_do_not_fit(name: str, arguments: tuple[Any, ...], handler: str) -> None:
    options = {"x": "b"} if name == "rename" else {}
    outcomes = []
    for module in (webdataset, stages):
        stage = getattr(module, name)(*arguments, handler=getattr(webdataset, handler), **options)
        seen: list[Any] = []
        try:
            seen.extend(stage(copies()))
        except (ValueError, KeyError) as error:
            seen.append([kind for kind in (ValueError, KeyError) if isinstance(error, kind)])
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("functions", [(), (str,), (None, str), (str, None, str, str), (lambda _: None,)])
def test_map_tuple(functions: tuple[Any, ...]) -> None:
    items = [(1, 2, 3), [4, 5, 6], (7,), ()]
    theirs = list(webdataset.map_tuple(*functions)(iter(items)))
    assert list(stages.map_tuple(*functions)(iter(items))) == theirs


def described(value: Any) -> Any:
    """A value as something that can be compared, types and all."""
    if isinstance(value, dict):
        return {key: described(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return (type(value), [described(entry) for entry in value])
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return (type(value), str(value.dtype), tuple(value.shape), np.asarray(value).tolist())
    return (type(value), value)


def arrays(dtype: str) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).map(lambda number: np.full((2, 3), number, dtype=dtype))


COLUMNS = [
    st.integers(-(2**62), 2**62),
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.integers(0, 9) | st.floats(allow_nan=False) | st.booleans(),
    st.text(),
    st.binary(),
    st.none(),
    st.complex_numbers(allow_nan=False),
    st.integers(0, 9).map(np.int64),
    st.integers(0, 9).map(np.float32),
    st.integers(0, 9).map(np.float64),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.integers()),
    arrays("uint8"),
    arrays("float32"),
    arrays("uint8") | arrays("float32"),
    st.integers(0, 9).map(np.array),
    st.text() | st.none() | st.binary(),
]


@given(st.data(), st.integers(1, 5), st.booleans(), st.booleans(), st.booleans())
def test_collation(data: st.DataObject, rows: int, dicts: bool, tensors: bool, scalars: bool) -> None:
    columns = data.draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=3))
    items: list[Any] = data.draw(st.lists(st.tuples(*columns), min_size=rows, max_size=rows))
    if dicts:
        items = [dict(zip("abc", item, strict=False)) for item in items]
    theirs = their_collation_fn(items, combine_tensors=tensors, combine_scalars=scalars)
    ours = default_collation_fn(items, combine_tensors=tensors, combine_scalars=scalars)
    assert described(ours) == described(theirs)


@pytest.mark.needs("torch")
def test_collation_of_tensors() -> None:
    import torch

    items = [(torch.full((2,), number), torch.tensor(number / 2), number) for number in range(3)]
    assert described(default_collation_fn(items)) == described(their_collation_fn(items))


@given(st.integers(0, 30), st.integers(1, 12), st.booleans())
def test_batches(items: int, size: int, partial: bool) -> None:
    rows = [(number, str(number)) for number in range(items)]
    theirs = list(webdataset.batched(size, partial=partial)(iter(rows)))
    assert described(list(batched(size, partial=partial)(iter(rows)))) == described(theirs)
    plain = list(webdataset.batched(size, collation_fn=None, partial=partial)(iter(rows)))
    assert list(batched(size, None, partial)(iter(rows))) == plain
