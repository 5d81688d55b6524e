"""Values of different lengths in a batch: as values and offsets, and padded to a given length."""

import pickle

import numpy as np
import pytest

import asyncwds as wds
from asyncwds.errors import SampleError, SpecError

ROWS = [
    {"ids": [5, 6, 7], "boxes": np.zeros((2, 4))},
    {"ids": [], "boxes": np.ones((0, 4))},
    {"ids": [8], "boxes": np.ones((1, 4))},
]


def batch_of(rows, **options):
    (batch,) = wds.batched(len(rows), collation_fn=wds.collate(**options))(rows)
    return batch


def test_values_stand_behind_each_other():
    batch = batch_of(ROWS, ragged="values")
    ids, boxes = batch["ids"], batch["boxes"]
    assert isinstance(ids, wds.Ragged)
    assert (ids.values.tolist(), ids.offsets.tolist(), ids.offsets.dtype) == ([5, 6, 7, 8], [0, 3, 3, 4], np.int64)
    assert [value.tolist() for value in ids] == [[5, 6, 7], [], [8]]
    assert (len(ids), ids[-1].tolist(), boxes.values.shape, boxes[1].shape) == (3, [8], (3, 4), (0, 4))
    assert boxes[0].base is not None  # a view
    with pytest.raises(IndexError):
        ids[3]


def test_fields_are_ragged_also_where_one_batch_happens_not_to_be():
    assert batch_of(ROWS[:1] * 2, ragged={"ids": "values"})["ids"].offsets.tolist() == [0, 3, 6]
    assert batch_of([{"ids": []}] * 2, ragged="values")["ids"].offsets.tolist() == [0, 0, 0]


def test_a_ragged_column_comes_apart_and_survives_pickling():
    batch = pickle.loads(pickle.dumps(batch_of(ROWS, ragged="values")))
    rows = list(wds.unbatched()([batch]))
    assert [row["ids"].tolist() for row in rows] == [[5, 6, 7], [], [8]]
    assert [row["boxes"].tolist() for row in rows] == [row["boxes"].tolist() for row in ROWS]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ragged": "pad", "pad_to": 4}, [[5, 6, 7, 0], [0, 0, 0, 0], [8, 0, 0, 0]]),
        ({"pad_to": {"ids": 5}, "pad_value": {"ids": -1}}, [[5, 6, 7, -1, -1], [-1] * 5, [8, -1, -1, -1, -1]]),
        ({"ragged": {"ids": "pad"}, "pad_to": 3}, [[5, 6, 7], [0, 0, 0], [8, 0, 0]]),
    ],
)
def test_pad_to_is_the_length_in_every_batch(options, expected):
    rows = [{"ids": row["ids"]} for row in ROWS]
    assert batch_of(rows, **options)["ids"].tolist() == expected
    assert batch_of(rows[:1], **options)["ids"].tolist() == expected[:1]  # also where all are of one length


@pytest.mark.parametrize(
    ("rows", "options", "error", "text"),
    [
        (ROWS, {"pad_to": {"ids": 2}, "ragged": "list"}, SampleError, "length 3, and pad_to is 2"),
        ([{"a": np.zeros((1, 2))}, {"a": np.zeros((1, 3))}], {"ragged": "values"}, SampleError, "more than their first axis"),
        ([{"a": np.zeros(())}], {"ragged": "values"}, SampleError, "more than their first axis"),
        (ROWS, {"ragged": "pads"}, SpecError, "'values'"),
        (ROWS, {"pad_to": 3}, SpecError, "ragged='pad'"),
        (ROWS, {"pad_to": {"ids": 0}}, SpecError, "pad_to must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_said(rows, options, error, text):
    with pytest.raises(error, match=text):
        batch_of(rows, **options)


def test_webdataset_s_collation_is_as_it_was():
    with pytest.raises(SampleError, match="different shapes"):
        list(wds.batched(2)([(np.zeros(2),), (np.zeros(3),)]))
