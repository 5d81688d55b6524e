"""`collate`: nested and ragged data."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds import batched, collate, default_collation_fn, filters
from asyncwds.errors import SampleError, SpecError

RAGGED: list[Any] = [[1, 2, 3], [4], []]


def column(values: list[Any], **options: Any) -> Any:
    (combined,) = collate(**options)([(value,) for value in values])
    return combined


def same(ours: Any, expected: Any) -> bool:
    return type(ours) is type(expected) and ours.dtype == expected.dtype and np.array_equal(ours, expected)


def test_ragged_lists_by_choice() -> None:
    assert column(RAGGED, ragged="list") == RAGGED
    assert same(column(RAGGED, ragged="pad"), np.array([[1, 2, 3], [4, 0, 0], [0, 0, 0]]))
    assert same(column(RAGGED, ragged="pad", pad_value=-1), np.array([[1, 2, 3], [4, -1, -1], [-1, -1, -1]]))
    with pytest.raises(SampleError, match=r"field 0 has different shapes in one batch: \(0,\), \(1,\), \(3,\)"):
        column(RAGGED)


@pytest.mark.parametrize("choice", ["raise", "list", "pad"])
def test_lists_of_numbers_of_one_length_are_an_array(choice: Any) -> None:
    assert same(column([[1, 2], (3, 4)], ragged=choice), np.array([[1, 2], [3, 4]]))
    assert same(column([[1, 2.5], [3, 4]], ragged=choice), np.array([[1, 2.5], [3, 4]]))
    assert same(column([[[1], [2]], [[3], [4]]], ragged=choice), np.array([[[1], [2]], [[3], [4]]]))


def test_arrays_are_padded_at_the_end_of_every_axis() -> None:
    arrays = [np.ones((2, 3), np.uint8), np.ones((3, 1), np.float32)]
    padded = column(arrays, ragged="pad", pad_value=9)
    assert (padded.shape, padded.dtype) == ((2, 3, 3), np.float32)
    assert padded[0].tolist() == [[1, 1, 1], [1, 1, 1], [9, 9, 9]]
    assert padded[1].tolist() == [[1, 9, 9], [1, 9, 9], [1, 9, 9]]


def test_an_empty_list_stands_for_no_rows_of_any_shape() -> None:
    boxes = [[[1, 2, 3, 4]], [], [[1, 2, 3, 4], [5, 6, 7, 8]]]
    padded = column(boxes, ragged="pad")
    assert (padded.shape, padded.dtype.kind) == ((3, 2, 4), "i")
    assert padded[1].tolist() == [[0] * 4] * 2


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b"],
        [["a"], ["b", "c"]],
        [[{"a": 1}], []],
        [None, [1]],
        [[[1], [1, 2]], [[1]]],
        [b"a", b"bc"],
        [{1}, {2}],
        [[None], [1]],
    ],
    ids=repr,
)
@pytest.mark.parametrize("choice", ["raise", "list", "pad"])
def test_what_is_no_array_stays_a_list(values: list[Any], choice: Any) -> None:
    assert column(values, ragged=choice) == values


def test_numbers_are_what_they_are_by_default() -> None:
    assert same(column([1, 2]), np.array([1, 2]))
    assert column([np.int64(1), np.int64(2)]) == [1, 2]


def test_choices_and_pad_values_by_field() -> None:
    samples = [{"ids": [1, 2], "labels": [1], "boxes": [[0, 0]]}, {"ids": [1], "labels": [1, 2], "boxes": []}]
    combined = collate(ragged={"ids": "pad", "labels": "pad", "boxes": "list"}, pad_value={"labels": -100})(samples)
    assert combined["ids"].tolist() == [[1, 2], [1, 0]]
    assert combined["labels"].tolist() == [[1, -100], [1, 2]]
    assert combined["boxes"] == [[[0, 0]], []]
    with pytest.raises(SampleError, match="field 'boxes'"):
        collate(ragged={"ids": "pad", "labels": "pad"})(samples)
    first, second = collate(ragged={"1": "list"})([(1, [1]), (2, [])])
    assert (first.tolist(), second) == ([1, 2], [[1], []])


def test_nested_dicts_become_dicts_of_columns() -> None:
    samples = [
        {"meta": {"size": [2, 3], "tags": {"name": "x", "ids": [1]}}},
        {"meta": {"tags": {"ids": [1, 2], "name": "y"}, "size": [4, 5]}},
    ]
    combined = collate(ragged={"meta.tags.ids": "pad"})(samples)
    assert list(combined["meta"]) == ["size", "tags"]
    assert combined["meta"]["size"].tolist() == [[2, 3], [4, 5]]
    assert combined["meta"]["tags"]["name"] == ["x", "y"]
    assert combined["meta"]["tags"]["ids"].tolist() == [[1, 0], [1, 2]]
    assert default_collation_fn(samples)["meta"] == [sample["meta"] for sample in samples]
    with pytest.raises(SampleError, match=r"field 'meta\.tags\.ids'"):
        collate()(samples)


def test_nested_dicts_of_different_fields() -> None:
    values = [{"a": 1}, {"a": 1, "b": 2}]
    assert column(values, ragged="list") == values
    for choice in ("raise", "pad"):
        with pytest.raises(SampleError, match="different fields"):
            column(values, ragged=choice)


@pytest.mark.parametrize(
    ("values", "pad_value"),
    [
        ([np.ones(1, np.uint8), np.ones(2, np.uint8)], -1),
        ([[1], [1, 2]], 0.5),
        ([[True], [True, False]], 2),
        ([[1], []], float("nan")),
    ],
)
def test_a_pad_value_must_fit_the_type(values: list[Any], pad_value: float) -> None:
    with pytest.raises(SampleError, match="field 0 cannot be padded with"):
        column(values, ragged="pad", pad_value=pad_value)


def test_values_that_cannot_be_padded() -> None:
    for values in ([[1], [[1]]], [np.ones((2, 2)), np.ones(3)]):
        with pytest.raises(SampleError, match="field 0 has values of different numbers of axes"):
            column(values, ragged="pad")


@given(st.lists(st.lists(st.integers(-9, 9), max_size=5), min_size=1, max_size=6), st.integers(-9, 9))
def test_padding_loses_nothing(rows: list[list[int]], pad_value: int) -> None:
    padded = column(rows, ragged="pad", pad_value=pad_value)
    longest = max(map(len, rows))
    assert padded.tolist() == [row + [pad_value] * (longest - len(row)) for row in rows]


def test_a_stage_with_it_is_data() -> None:
    stage = batched(2, collation_fn=collate(ragged="pad", pad_value={"a": 1}))
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert "ragged='pad'" in repr(stage)
    (batch,) = stage([{"a": [1, 2]}, {"a": [3]}])
    assert batch["a"].tolist() == [[1, 2], [3, 1]]


@pytest.mark.parametrize("choice", ["padded", None, {"a": "no"}])
def test_choices_that_are_none(choice: Any) -> None:
    with pytest.raises(SpecError, match="'raise', 'list', 'pad' or 'values'"):
        collate(ragged=choice)


def test_tuples_and_dicts() -> None:
    assert filters.tuple2dict(["a", "b"]) == {0: "a", 1: "b"}
    assert filters.dict2tuple(filters.tuple2dict(("a", "b"))) == ("a", "b")


@pytest.mark.needs("torch")
def test_tensors() -> None:
    import torch

    tensors = [torch.ones(2, dtype=torch.uint8), torch.ones(3, dtype=torch.int32)]
    padded = column(tensors, ragged="pad", pad_value=-1)
    assert (padded.dtype, padded.tolist()) == (torch.int32, [[1, 1, -1], [1, 1, 1]])
    assert column(tensors, ragged="list") == tensors
    assert column([torch.zeros(2), torch.ones(2)], ragged="pad").tolist() == [[0, 0], [1, 1]]
    assert column([torch.ones(1), torch.ones(2)], ragged="pad", pad_value=0.1)[0, 1] == pytest.approx(0.1)
    assert column([torch.zeros(0), torch.ones(1, 2)], ragged="pad").tolist() == [[[0, 0]], [[1, 1]]]
    for choice in ("raise", "pad"):
        with pytest.raises(SampleError, match="different kinds"):
            column([torch.ones(1), np.ones(2)], ragged=choice)
    with pytest.raises(SampleError, match="cannot be padded"):
        column([torch.ones(1, dtype=torch.uint8), torch.ones(2, dtype=torch.uint8)], ragged="pad", pad_value=300)
    lists = [[torch.ones(1)], [torch.ones(2)]]
    assert all(left is right for left, right in zip(column(lists, ragged="pad"), lists, strict=True))
