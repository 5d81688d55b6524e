"""The stages do what WebDataset's do."""

from __future__ import annotations

from copy import deepcopy
from io import StringIO
from itertools import islice
from random import Random
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from webdataset.filters import default_collation_fn as their_collation_fn

import asyncwds as wds
from asyncwds import batched, default_collation_fn
from asyncwds.pipeline import Shuffle
from asyncwds.shards import pick

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
    assert list(getattr(wds, name)(*arguments, **options)(copies())) == theirs


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
    for module in (webdataset, wds):
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
    assert list(wds.map_tuple(*functions)(iter(items))) == theirs


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


# -- tables: the same stage with the same arguments on the same samples


def theirs_of(name: str) -> Any:
    return getattr(webdataset, name, None) or getattr(webdataset.filters, name, None) or getattr(webdataset.utils, name)


def ours_of(name: str) -> Any:
    return next(getattr(module, name) for module in (wds, wds.filters, wds.utils) if hasattr(module, name))


def outcome(function: Any, *arguments: Any, **options: Any) -> list[Any]:
    """What an iterator gives, and whether it ends with an error."""
    seen: list[Any] = []
    try:
        for value in function(*arguments, **options):
            seen.append(described(value))
    except (AssertionError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        seen.append("error")
    return seen


def on_samples(make: Any, arguments: tuple[Any, ...], options: dict[str, Any], items: list[Any]) -> list[Any]:
    def run() -> Any:
        yield from make(*arguments, **options)(iter(deepcopy(items)))

    return outcome(run)


NESTED = [{"__key__": "d/k1", "d/A.jpg": 1, "d/b.png": 2, "e/c.cls": 3}, {"__key__": "d/k2", "A.JPG": 4, "cls": 5}]
IMAGES = [{"__key__": "k1", "jpg": 1, "seg.png": 2, "json": {}}, {"__key__": "k2", "png": 3, "txt": "x", "jpg": 4}]
COLUMNS_OF_ARRAYS = (np.arange(3), ["a", "b", "c"], np.zeros((3, 2)))
TABLE = {"k1": {"x": 1}, "k2": {"a": 7, "y": 2}}


def looked_up(key: str) -> dict[str, int]:
    return TABLE[key]


def negative(number: int) -> int:
    return -number


TABLES: list[tuple[str, tuple[Any, ...], dict[str, Any], list[Any]]] = [
    # map_dict
    ("map_dict", (), {"a": negative}, SAMPLES),
    ("map_dict", (), {"a": str, "n": repr}, SAMPLES),
    ("map_dict", (), {"a": negative, "b": len}, SAMPLES),
    ("map_dict", (webdataset.ignore_and_continue,), {"b": len}, SAMPLES),
    ("map_dict", (), {"handler": webdataset.ignore_and_stop, "c": len}, SAMPLES),
    ("map_dict", (), {"__key__": str.upper}, SAMPLES),
    ("map_dict", (), {"a": negative}, [(1, 2)]),
    ("map_dict", (), {}, SAMPLES),
    ("map_dict", (), {"a": 3}, SAMPLES),
    # associate
    ("associate", (TABLE,), {}, SAMPLES),
    ("associate", ({},), {}, SAMPLES),
    ("associate", (looked_up,), {}, SAMPLES),
    ("associate", (lambda key: {"size": len(key), "__key__": "new"},), {}, SAMPLES),
    ("associate", (looked_up,), {}, [{"__key__": "q"}]),
    ("associate", (TABLE,), {}, [{"a": 1}]),
    ("associate", (TABLE,), {}, [(1, 2)]),
    # extract_keys
    ("extract_keys", ("jpg",), {}, IMAGES),
    ("extract_keys", ("jpg", "__key__"), {}, IMAGES),
    ("extract_keys", ("*.jpg",), {}, IMAGES),
    ("extract_keys", ("*.png", "*.jpg"), {}, IMAGES),
    ("extract_keys", (".png;*.txt",), {"ignore_missing": True, "duplicate_is_error": False}, IMAGES),
    ("extract_keys", ("*g", "__key__"), {}, IMAGES),
    ("extract_keys", ("*g", "__key__"), {"duplicate_is_error": False}, IMAGES),
    ("extract_keys", ("json", "jpg"), {}, IMAGES),
    ("extract_keys", ("json", "jpg"), {"ignore_missing": True}, IMAGES),
    ("extract_keys", ("q*",), {"ignore_missing": True}, IMAGES),
    ("extract_keys", (["json", "txt"],), {}, IMAGES),
    ("extract_keys", ("json;txt", "[jp]*g"), {"duplicate_is_error": False}, IMAGES),
    ("extract_keys", ("__*__",), {}, IMAGES),
    ("extract_keys", (), {}, IMAGES),
    ("extract_keys", ("0",), {}, [(1, 2)]),
    # rename_keys
    ("rename_keys", (("image", "*.jpg"),), {}, NESTED),
    ("rename_keys", (("image", "*.jpg"),), {"keep_unselected": True}, NESTED),
    ("rename_keys", (("image", "*jpg"), ("label", "*cls")), {}, NESTED),
    ("rename_keys", (), {"label": "*cls", "image": "a.jpg"}, NESTED),
    ("rename_keys", (("image", "*jpg"),), {"label": "c.cls"}, NESTED),
    ("rename_keys", (("image", "*jpg"),), {"label": "c.cls", "must_match": False}, NESTED),
    ("rename_keys", (("any", "*"),), {}, NESTED),
    ("rename_keys", (("any", "*"),), {"duplicate_is_error": False}, NESTED),
    ("rename_keys", (("any", "*"), ("image", "*jpg"), ("__key__", "__key__")), {"duplicate_is_error": False}, NESTED),
    ("rename_keys", (("a", "*png"), ("b", "*png")), {"must_match": False}, NESTED),
    ("rename_keys", (("image", "*.JPG"),), {}, NESTED),
    ("rename_keys", (("key", "__key__"),), {"keep_unselected": True}, SAMPLES),
    ("rename_keys", (("a", "a"),), {}, SAMPLES),
    ("rename_keys", (("b", "a"),), {"keep_unselected": True, "must_match": False}, [SAMPLES[1]]),
    ("rename_keys", (), {}, SAMPLES),
    ("rename_keys", (), {"keep_unselected": True}, SAMPLES),
    ("rename_keys", (("a", "*"),), {}, [(1, 2)]),
    # unbatched, unlisted, batches
    ("unbatched", (), {}, [COLUMNS_OF_ARRAYS, COLUMNS_OF_ARRAYS]),
    ("unbatched", (), {}, [list(COLUMNS_OF_ARRAYS)]),
    ("unbatched", (), {}, [dict(zip("abc", COLUMNS_OF_ARRAYS, strict=True))]),
    ("unbatched", (), {}, [([],), ([1],)]),
    ("unbatched", (), {}, [{"a": [1, 2], "b": [1]}]),
    ("unbatched", (), {}, [{}]),
    ("unbatched", (), {}, [()]),
    ("unbatched", (), {}, ["ab"]),
    ("unbatched", (), {}, [("ab", "cd")]),
    ("unlisted", (), {}, [[1, 2], [], [3]]),
    ("unlisted", (), {}, [[1], (2, 3)]),
    ("unlisted", (), {}, [{"a": [1]}]),
    *[
        ("batched", (size,), {"partial": partial}, [(n, str(n)) for n in range(7)])
        for size in (1, 3, 7, 8)
        for partial in (True, False)
    ],
    ("batched", (), {}, [{"x": n, "y": np.full(2, n)} for n in range(41)]),
    ("batched", (2,), {"collation_fn": len}, [1, 2, 3]),
    ("batched", (2,), {}, [1, 2, 3]),
    ("batched", (2,), {}, [{"a": 1}, {"b": 1}]),
    ("batched", (2,), {}, [(np.zeros(2),), (np.zeros(3),)]),
    # info gives on what it shows
    ("info", (), {"n": 0}, SAMPLES),
    ("slice", (3, 20, 4), {}, list(range(30))),
    ("slice", (None,), {}, list(range(5))),
    ("select", (lambda number: number % 3,), {}, list(range(10))),
    ("map", (negative,), {}, list(range(10))),
    ("map_tuple", (negative, None, str), {}, [(1, 2, 3), (4,)]),
    ("map_tuple", (3,), {}, [(1, 2, 3)]),
    ("to_tuple", ("x y",), {}, [{"x": 1, "y": 2}]),
    ("log_keys", (), {}, SAMPLES),
    ("log_keys", ("",), {}, SAMPLES),
]


@pytest.mark.parametrize(("name", "arguments", "options", "items"), TABLES, ids=[f"{n}-{row[0]}" for n, row in enumerate(TABLES)])
def test_tables(name: str, arguments: tuple[Any, ...], options: dict[str, Any], items: list[Any]) -> None:
    assert on_samples(ours_of(name), arguments, options, items) == on_samples(theirs_of(name), arguments, options, items)


@pytest.mark.parametrize("size", [1, 4, 20])
def test_lists(size: int) -> None:
    theirs = webdataset.FluidWrapper(list(range(10))).listed(size)
    assert list(wds.listed(size)(range(10))) == list(theirs)


# -- functions


def compared(name: str, *arguments: Any, **options: Any) -> None:
    results = []
    for function in (ours_of(name), theirs_of(name)):
        results.append(outcome(lambda function=function: [function(*deepcopy(arguments), **options)]))
    assert results[0] == results[1]


def double(value: Any) -> Any:
    return value * 2


FUNCTIONS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("getfirst", ({"a": 1, "b": 2}, "q;b;a"), {}),
    ("getfirst", ({"a": 1}, ["q", "a"]), {}),
    ("getfirst", ({"a": 1}, "q"), {}),
    ("getfirst", ({"a": 1}, "q", 7), {"missing_is_error": False}),
    ("getfirst", ({"a": None}, "a"), {}),
    ("transform_with", ((1, 2, 3), (double, None)), {}),
    ("transform_with", ([1, 2], [double, double]), {}),
    ("transform_with", ((1, 2), ()), {}),
    ("transform_with", ((1, 2), None), {}),
    ("transform_with", ((1,), (double, double)), {}),
    ("parse_field_spec", ("jpg;png cls",), {}),
    ("parse_field_spec", (["jpg;png", "cls"],), {}),
    ("parse_field_spec", ("  a   b ",), {}),
    ("tuple2dict", ((1, "b"),), {}),
    ("tuple2dict", ({"a": 1},), {}),
    ("dict2tuple", ({1: "b", 0: "a"},), {}),
    ("combine_values", ([1, 2.5],), {}),
    ("combine_values", ([1, 2],), {"combine_scalars": False}),
    ("combine_values", ([np.zeros(2), np.ones(2)],), {}),
    ("combine_values", ([np.zeros(2), np.ones(3)],), {"combine_tensors": False}),
    ("combine_values", ([np.zeros(2), np.ones(3)],), {}),
    ("combine_values", (["a", "b"],), {}),
    ("guess_batchsize", (([1, 2, 3], "abc"),), {}),
    ("identity", (3,), {}),
    ("pipeline", ([1, 2],), {}),
    ("pipeline", ([1, 2], double, len), {}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), FUNCTIONS, ids=[f"{n}-{row[0]}" for n, row in enumerate(FUNCTIONS)])
def test_functions(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    compared(name, *arguments, **options)


@pytest.mark.parametrize("functions", [(double,), (double, len), (str, double, len)])
def test_compositions(functions: tuple[Any, ...]) -> None:
    for module in (wds.filters, webdataset.filters):
        assert module.compose(*functions)("ab") == webdataset.filters.compose(*functions)("ab")
    assert wds.filters.compose2(str, len)(123) == webdataset.filters.compose2(str, len)(123)


def test_picks() -> None:
    for seed in range(5):
        ours, theirs, rngs = list(range(20)), list(range(20)), [Random(seed), Random(seed)]
        while theirs:
            assert pick(ours, rngs[0]) == webdataset.filters.pick(theirs, rngs[1])
            assert ours == theirs


def every(data: Any, n: int, start: int = 0) -> Any:
    yield from islice(data, start, None, n)


def test_curried_functions() -> None:
    ours, theirs = (module.pipelinefilter(every) for module in (wds, webdataset))
    for arguments, options in (((3,), {}), ((3,), {"start": 2}), ((), {"n": 1})):
        assert list(ours(*arguments, **options)(iter(range(20)))) == list(theirs(*arguments, **options)(iter(range(20))))
        assert repr(ours(*arguments, **options)) == repr(theirs(*arguments, **options)) == str(ours(*arguments, **options))
    assert (ours.__name__, ours.__doc__, ours.f) == (theirs.__name__, theirs.__doc__, theirs.f)


# -- what is written


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        *[((), {}), ((), {"n": 1, "name": "here"}), ((), {"every": 2}), ((), {"width": 9}), (("{__key__}: {a}",), {})],
        *[(("{q}",), {}), ((None, 0, 3), {}), (("{a}", 1, 2), {"name": "unused"})],
    ],
)
def test_info(arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    written = []
    for module in (wds, webdataset):
        stream = StringIO()
        items = [{**sample, "long": "x" * 99, "bin": b"y" * 99} for sample in SAMPLES * 3]
        values = on_samples(module.info, arguments, {**options, "stream": stream}, items)
        written.append((stream.getvalue(), values))
    assert written[0] == written[1]


def test_log_keys(tmp_path: Any) -> None:
    samples = [{**sample, "__worker__": 2, "__rank__": 1} for sample in SAMPLES]
    for name, log_keys in (("ours", wds.log_keys), ("theirs", webdataset.filters.log_keys)):
        for _ in range(2):
            assert list(log_keys(str(tmp_path / name))(iter(samples))) == samples
    assert (tmp_path / "ours").read_text() == (tmp_path / "theirs").read_text() != ""
