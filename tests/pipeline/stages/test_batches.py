from __future__ import annotations

import pickle
import subprocess
import sys
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds import (
    Sample,
    batched,
    collate,
    default_collation_fn,
    ignore_and_continue,
    ignore_and_stop,
    listed,
    unbatched,
    unlisted,
)
from asyncwds.errors import SampleError, SpecError


def column(*values: Any, **options: Any) -> Any:
    (collated,) = default_collation_fn([(value,) for value in values], **options)
    return collated


@pytest.mark.parametrize(
    ("values", "dtype"),
    [((1, 2), "int64"), ((1.5, 2), "float64"), ((True, False), "bool"), ((np.float64(1), 2), "float64"), ((2**70, 1), "object")],
)
def test_numbers_become_an_array(values: tuple[Any, ...], dtype: str) -> None:
    combined = column(*values)
    assert (type(combined), combined.dtype, combined.tolist()) == (np.ndarray, np.dtype(dtype), list(values))
    assert column(*values, combine_scalars=False) == list(values)


def test_arrays_of_one_shape_are_stacked() -> None:
    combined = column(np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8))
    assert (combined.dtype, combined.shape) == (np.uint8, (2, 2, 3))
    assert column(np.array(3), np.array(4)).tolist() == [3, 4]
    arrays = [np.zeros(2), np.zeros(3)]
    assert column(*arrays, combine_tensors=False) == arrays


@pytest.mark.parametrize(
    "values",
    [
        ("a", "b"),
        (b"a", b"b"),
        (None, None),
        ([1], [2]),
        ({"q": 1}, {"q": 2}),
        (1j, 2j),
        (np.int64(1), np.int64(2)),
        (1, "a"),
        (1, None),
    ],
    ids=repr,
)
def test_all_else_becomes_a_list(values: tuple[Any, ...]) -> None:
    assert column(*values) == list(values)


@pytest.mark.parametrize("values", [(np.zeros(2), 1), (1, np.zeros(2)), (np.zeros(2), None), (np.zeros(2), [0, 0])], ids=repr)
def test_arrays_beside_other_values_are_an_error(values: tuple[Any, ...]) -> None:
    with pytest.raises(SampleError, match=r"field 0 has values of different kinds in one batch: .*ndarray"):
        column(*values)


def test_different_shapes_are_an_error_that_names_the_field() -> None:
    samples = [{"image": np.zeros((2, 3))}, {"image": np.zeros((2, 4))}]
    with pytest.raises(SampleError, match=r"field 'image' has different shapes in one batch: \(2, 3\), \(2, 4\)"):
        default_collation_fn(samples)


def test_dicts_become_a_dict_of_columns_in_the_first_one_s_order() -> None:
    collated = default_collation_fn([{"b": 1, "a": "x"}, {"a": "y", "b": 2}])
    assert list(collated) == ["b", "a"]
    assert collated["a"] == ["x", "y"]
    assert collated["b"].tolist() == [1, 2]
    assert type(default_collation_fn([Sample({"a": 1})])) is dict


def test_lists_and_tuples_become_a_tuple_of_columns() -> None:
    collated = default_collation_fn([[1, "a"], (2, "b")])
    assert type(collated) is tuple
    assert collated[0].tolist() == [1, 2]
    assert collated[1] == ["a", "b"]
    assert default_collation_fn([(), ()]) == ()


@pytest.mark.parametrize(
    "samples",
    [
        [{"a": 1}, {"b": 1}],
        [{"a": 1}, {"a": 1, "b": 1}],
        [{"a": 1, "b": 1}, {"a": 1}],
        [(1,), (1, 2)],
        [(1, 2), (1,)],
        [(1,), {"a": 1}],
    ],
)
def test_samples_of_different_fields_are_an_error(samples: list[Any]) -> None:
    with pytest.raises(SampleError, match="samples of one batch have different"):
        default_collation_fn(samples)


def test_different_fields_are_named_in_one_order() -> None:
    fields = dict.fromkeys("hgfedcba")
    with pytest.raises(SampleError, match=r"fields: \['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'\] and \['b', 'i'\]"):
        default_collation_fn([fields, {"i": 0, "b": 0}])


@pytest.mark.parametrize("samples", [[], [1, 2], ["a", "b"], [b"ab"], [None], [np.zeros(2)]], ids=repr)
def test_what_cannot_be_collated(samples: list[Any]) -> None:
    with pytest.raises(SpecError):
        default_collation_fn(samples)


@given(st.lists(st.integers(), max_size=30), st.integers(1, 12))
def test_batches(items: list[int], size: int) -> None:
    batches = list(batched(size, collation_fn=None)(iter(items)))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert list(batched(size, None, partial=False)(items)) == [batch for batch in batches if len(batch) == size]


def test_batches_are_lazy() -> None:
    numbers = count()
    assert next(batched(3, collation_fn=None)(numbers)) == [0, 1, 2]
    assert next(numbers) == 3


@pytest.mark.parametrize("size", [0, -1, 1.5, None, "3"])
def test_a_batch_has_a_size(size: Any) -> None:
    with pytest.raises(SpecError):
        batched(size)


def test_fault_40_errors_of_the_collation_name_the_stage() -> None:
    with pytest.raises(SampleError) as caught:
        list(batched(2)([{"__key__": "k", "a": 1}, {"__key__": "l", "b": 2}]))
    assert caught.value.__notes__ == ["in stage batched(2), samples 'k', 'l'"]
    assert caught.value.key == "l"


def test_it_is_data() -> None:
    stage = batched(4, partial=False)
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert "batchsize=4" in repr(stage)


def test_torch_is_not_imported() -> None:
    code = "import asyncwds as wds; list(wds.batched(2)([(1,), (2,)])); import sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tensors_need_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from asyncwds.errors import SpecError\n"
        "from asyncwds import batched\n"
        "from asyncwds import ignore_and_continue\n"
        "try: list(batched(2, tensors=True, handler=ignore_and_continue)([(1,), (2,)]))\n"
        "except SpecError as error: print(error)"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "torch is needed: pip install" in printed


# -- taking batches apart


@pytest.mark.parametrize(
    "rows",
    [
        [(1, "a", [1]), (2, "b", [2, 3])],
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        [{"a": 1, "meta": {"b": 1, "c": {"d": "x"}}}, {"a": 2, "meta": {"b": 2, "c": {"d": "y"}}}],
    ],
    ids=["tuples", "dicts", "nested dicts"],
)
def test_a_batch_comes_apart_as_it_was(rows: list[Any]) -> None:
    assert list(unbatched()(batched(2, collate(ragged="list"))(rows * 2))) == rows * 2


def test_lists_come_apart_as_they_were() -> None:
    assert list(listed(3)(range(7))) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(listed(3, partial=False)(range(7))) == [[0, 1, 2], [3, 4, 5]]
    assert list(unlisted()(listed(3)(range(7)))) == list(range(7))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (([1, 2], [1]), r"one length, not \[2, 1\]"),  # WebDataset gives the first two rows, or an IndexError
        (([1], [1, 2]), r"one length, not \[1, 2\]"),  # and here one row, and loses the other
        ({"__key__": ["a"], "a": [1, 2]}, r"one length, not \[1, 2\]"),
        ((), r"one length, not \[\]"),
    ],
)
def test_batches_that_do_not_come_apart(batch: Any, message: str) -> None:
    with pytest.raises(SampleError, match=message):
        list(unbatched()([batch]))
    assert list(unbatched(ignore_and_continue)([batch, ([1],)])) == [(1,)]
    assert list(unbatched(ignore_and_stop)([batch, ([1],)])) == []


def test_what_is_no_list_does_not_come_apart() -> None:
    with pytest.raises(SpecError, match="unlisted needs lists, not tuple; unbatched"):
        list(unlisted()([(1, 2)]))


@pytest.mark.parametrize("batch", ["ab", {"__key__": "abc", "a": [1, 2]}, (b"ab", b"c"), (1, 2)])
def test_what_is_no_batch_is_a_mistake_of_the_pipeline(batch: Any) -> None:
    with pytest.raises(SpecError, match="batched belongs before it"):
        list(unbatched(ignore_and_continue)([batch]))


def test_a_handler_skips_batches_that_cannot_be_collated() -> None:
    rows = [(1,), (1, 2), (3,), (4,)]
    assert [batch[0].tolist() for batch in batched(2, handler=ignore_and_continue)(rows)] == [[3, 4]]
    assert list(batched(2, handler=ignore_and_stop)(rows)) == []


@pytest.mark.parametrize("stage", [unbatched(ignore_and_stop), unlisted(), listed(3)])
def test_they_are_data(stage: Any) -> None:
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert repr(stage).startswith(type(stage).__name__ + "(")
