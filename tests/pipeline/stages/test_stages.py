from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asyncwds as wds
from asyncwds import Origin, Sample, ignore_and_continue, ignore_and_stop
from asyncwds.errors import DecodeError, SampleError, SpecError

Stage = Callable[[Iterator[Any]], Iterator[Any]]


def sample(**fields: Any) -> Sample:
    made = Sample({"__key__": "k", "__url__": "u", **fields})
    made._origin = (1, 2, 1024)
    return made


def run(stage: Stage, *items: Any) -> list[Any]:
    return list(stage(iter(items)))


def inverse(number: float) -> float:
    return 1 / number


# -- what all have in common


def invert_field(item: dict[str, float]) -> dict[str, float]:
    return {"a": 1 / item["a"]}


FAILING: list[tuple[Callable[..., Stage], Any, Any, type[Exception], str]] = [
    (lambda **k: wds.map(invert_field, **k), sample(a=2), sample(a=0), ZeroDivisionError, "map(invert_field)"),
    (lambda **k: wds.select(invert_field, **k), sample(a=2), sample(a=0), ZeroDivisionError, "select(invert_field)"),
    (wds.decode, sample(cls=b"1"), sample(cls=b"x"), DecodeError, "map(Decoder)"),
    (lambda **k: wds.to_tuple("a", **k), sample(a=1), sample(b=1), SampleError, "to_tuple"),
    (lambda **k: wds.map_tuple(None, inverse, **k), (0, 1), (0, 0), ZeroDivisionError, "map_tuple(NoneType, inverse)"),
    (lambda **k: wds.rename(x="a", **k), sample(a=1), sample(b=1), SampleError, "rename"),
]


@pytest.mark.parametrize(("make", "good", "bad", "kind", "name"), FAILING, ids=[case[-1] for case in FAILING])
def test_fault_40_errors_go_to_the_handler_with_a_note(make: Any, good: Any, bad: Any, kind: type[Exception], name: str) -> None:
    source = iter([good, bad, good])
    stream = make()(source)
    next(stream)
    with pytest.raises(kind) as caught:
        next(stream)
    where = ", sample 'k' of u at offset 1024" if isinstance(bad, dict) else ""
    assert caught.value.__notes__ == [f"in stage {name}{where}"]
    assert next(source) is good
    assert len(run(make(handler=ignore_and_continue), good, bad, good)) == 2
    assert len(run(make(handler=ignore_and_stop), good, bad, good)) == 1


@pytest.mark.parametrize(("make", "good", "bad", "kind", "name"), FAILING, ids=[case[-1] for case in FAILING])
def test_errors_of_the_source_are_not_the_stage_s(make: Any, good: Any, bad: Any, kind: type[Exception], name: str) -> None:
    def source() -> Iterator[Any]:
        yield good
        raise OSError("network")

    stream = make(handler=ignore_and_continue)(source())
    next(stream)
    with pytest.raises(OSError, match="network") as caught:
        next(stream)
    assert not hasattr(caught.value, "__notes__")


def test_stages_are_lazy() -> None:
    for make, good, *_ in FAILING:
        source = iter([good] * 3)
        next(make()(source))
        assert len(list(source)) == 2


@pytest.mark.parametrize(
    "stage",
    [
        wds.map(inverse, ignore_and_continue),
        wds.select(inverse),
        wds.to_tuple("a;b", "c", missing_is_error=False),
        wds.map_tuple(None, inverse),
        wds.rename(x="a;b", keep=False),
        wds.slice(1, None, 2),
    ],
    ids=lambda stage: type(stage).__name__,
)
def test_stages_are_data(stage: Any) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert repr(stage).startswith(type(stage).__name__ + "(")


# -- map, select, slice


def test_map_drops_none_and_nothing_else() -> None:
    assert run(wds.map(lambda item: item or None), 0, 1, "", 2) == [1, 2]
    assert run(wds.map(lambda item: item), 0, "", (), False, None) == [0, "", (), False]


def test_a_dict_made_from_a_sample_inherits_its_key() -> None:
    assert run(wds.map(lambda item: {"x": item["a"]}), sample(a=1)) == [{"x": 1, "__key__": "k"}]
    assert run(wds.map(lambda _: {"__key__": "new"}), sample(a=1)) == [{"__key__": "new"}]
    assert run(wds.map(lambda _: {"x": 1}), {"a": 1}) == [{"x": 1}]
    assert run(wds.map(lambda item: {"x": item}), (1,)) == [{"x": (1,)}]
    assert run(wds.map(lambda item: (item["a"],)), sample(a=1)) == [(1,)]


def test_a_function_that_returns_the_sample_keeps_its_origin() -> None:
    (mapped,) = run(wds.map(lambda item: item), sample(a=1))
    assert mapped.origin == Origin(1, 2, 1024)


def test_select_passes_on_the_samples_themselves() -> None:
    items = [sample(a=1), sample(a=0)]
    assert run(wds.select(lambda item: item["a"]), *items) == items[:1]
    assert run(wds.select(lambda item: item["a"]), *items)[0] is items[0]


@given(st.lists(st.integers(), max_size=9), st.lists(st.none() | st.integers(0, 10), min_size=1, max_size=2))
def test_slice_is_islice(items: list[int], bounds: list[int | None]) -> None:
    assert run(wds.slice(*bounds), *items) == items[slice(*bounds)]


@pytest.mark.parametrize("bounds", [(), (-1,), (0, -1), (0, 1, 0), (1, 2, 3, 4), ("1",)])
def test_bounds_that_make_no_sense(bounds: Any) -> None:
    with pytest.raises(SpecError):
        wds.slice(*bounds)


@pytest.mark.parametrize("make", [wds.map, wds.select, wds.map_tuple])
def test_functions_are_functions(make: Any) -> None:
    with pytest.raises(SpecError, match="must be a function"):
        make(3)


# -- to_tuple


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        (("a", "b"), (1, 2)),
        (("a b",), (1, 2)),
        ((" b  a ",), (2, 1)),
        (("a",), (1,)),
        (("b;a",), (2,)),
        (("q;a", "b"), (1, 2)),
        (("q;a b",), (1, 2)),
        (("__key__", ["q", "b"]), ("k", 2)),
    ],
)
def test_to_tuple(fields: tuple[Any, ...], values: tuple[Any, ...]) -> None:
    assert run(wds.to_tuple(*fields), sample(a=1, b=2)) == [values]


@pytest.mark.parametrize("fields", [(), ("",), (" ",), ("a b", "c"), ("a", ""), ("a", "b c")])
def test_to_tuple_wants_names(fields: tuple[str, ...]) -> None:
    with pytest.raises(SpecError):
        wds.to_tuple(*fields)


def test_missing_fields_and_none() -> None:
    item = sample(a=1, n=None)
    with pytest.raises(SampleError, match="no field 'q;r' in __key__ __url__ a n") as caught:
        run(wds.to_tuple("a", "q;r"), item)
    assert (caught.value.key, caught.value.url, caught.value.offset) == ("k", "u", 1024)
    for fields in (("n",), ("n;a",), ("q;n",)):
        with pytest.raises(SampleError, match="is None"):
            run(wds.to_tuple(*fields), item)
    assert run(wds.to_tuple("a", "q", "n", missing_is_error=False), item) == [(1, None, None)]
    assert run(wds.to_tuple("a", "n", none_is_error=False), item) == [(1, None)]
    with pytest.raises(SampleError, match="is None"):
        run(wds.to_tuple("q", missing_is_error=False, none_is_error=True), item)
    with pytest.raises(SpecError, match="not tuple; it belongs before to_tuple"):
        run(wds.to_tuple("a"), (1, 2))


def test_getfirst() -> None:
    assert wds.getfirst({"a": 1, "b": 2}, "q;b;a") == 2
    assert wds.getfirst({"a": None}, ["q", "a"]) is None
    assert wds.getfirst({"a": 1}, "q", default=7, missing_is_error=False) == 7
    with pytest.raises(SampleError):
        wds.getfirst({"a": 1}, "q", default=7)


# -- map_tuple


@pytest.mark.parametrize(
    ("functions", "item", "values"),
    [
        ((str, None), (1, 2, 3), ("1", 2, 3)),
        ((str, None), [1, 2, 3], ("1", 2, 3)),
        ((None, str, str, inverse), (1, 2), (1, "2")),
        ((), (1, 2), (1, 2)),
        ((lambda _: None,), (1, 2), (None, 2)),
    ],
)
def test_map_tuple(functions: Any, item: Any, values: tuple[Any, ...]) -> None:
    assert run(wds.map_tuple(*functions), item) == [values]


def test_map_tuple_leaves_its_input_and_wants_tuples() -> None:
    item = [1, 2]
    run(wds.map_tuple(str), item)
    assert item == [1, 2]
    with pytest.raises(SpecError, match="not Sample; to_tuple belongs before it"):
        run(wds.map_tuple(str), sample(a=1))


def test_transform_with() -> None:
    values = (1, 2, 3)
    assert wds.transform_with(values, [str, None]) == ["1", 2, 3]
    assert wds.transform_with(values, []) is wds.transform_with(values, None) is values
    with pytest.raises(SampleError, match="2 functions for a sample of 1 values"):
        wds.transform_with((1,), [str, str])


def test_field_specs() -> None:
    for spec in ("jpg;png cls", ("jpg;png", "cls")):
        assert wds.filters.parse_field_spec(spec) == [["jpg", "png"], ["cls"]]


# -- rename


@pytest.mark.parametrize(
    ("new_names", "renamed"),
    [
        ({"x": "a", "y": "q;b"}, {"x": 1, "y": 2, "n": None}),
        ({"x": "a;b"}, {"x": 1, "n": None}),
        ({"x": "n"}, {"x": None, "a": 1, "b": 2}),
        ({"a": "a;b"}, {"a": 1, "n": None}),
        ({"a": "b", "b": "a"}, {"a": 2, "b": 1, "n": None}),
        ({"a": "b"}, {"a": 2, "n": None}),
        ({"x": "a", "y": "a"}, {"x": 1, "y": 1, "b": 2, "n": None}),
        ({"x": ["q", "b"]}, {"x": 2, "a": 1, "n": None}),
    ],
)
def test_rename(new_names: dict[str, Any], renamed: dict[str, Any]) -> None:
    item = sample(a=1, b=2, n=None)
    (result,) = run(wds.rename(**new_names), item)
    assert result == {"__key__": "k", "__url__": "u", **renamed}
    assert result.origin == item.origin
    assert item == sample(a=1, b=2, n=None)
    assert run(wds.rename(keep=False, **new_names), item) == [{new: renamed[new] for new in new_names}]
