"""`to_device`: on the CPU the identity; the order of copies, events and waits by a record, since no GPU is needed for that."""

from __future__ import annotations

import gc
from typing import NamedTuple

import numpy as np
import pytest
import torch

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.pipeline import copy_ahead, map_tensors
from asyncwds.testing import make_shard


class Pair(NamedTuple):
    image: np.float32
    label: int


class Event:
    def __init__(self, number):
        self.number = number
        self.is_done = False

    def query(self):
        return self.is_done


class Recorded:
    """A stream that notes what it is asked for; copies are tensors of their own."""

    def __init__(self):
        self.calls = []
        self.events = []

    def copy(self, value):
        self.calls.append("copy")
        return value.clone()

    def mark(self):
        self.events.append(Event(len(self.events)))
        self.calls.append(f"mark {self.events[-1].number}")
        return self.events[-1]

    def hand_over(self, event, values):
        self.calls.append(f"wait {event.number}, keep {len(values)}")


def test_copies_are_ahead_and_waited_for():
    stream = Recorded()
    batches = copy_ahead(({"a": torch.full((2,), number), "b": ["text"]} for number in range(4)), stream, ahead=2)
    first = next(batches)
    assert (first["a"].tolist(), first["b"]) == ([0, 0], ["text"])
    assert stream.calls == ["copy", "mark 0", "copy", "mark 1", "copy", "mark 2", "wait 0, keep 1"]
    assert [batch["a"][0].item() for batch in batches] == [1, 2, 3]
    assert stream.calls[7:] == ["copy", "mark 3", "wait 1, keep 1", "wait 2, keep 1", "wait 3, keep 1"]


def test_what_is_copied_is_kept_until_it_has_been():
    stream = Recorded()
    alive = set()

    class Source(dict):
        def __init__(self, number):
            super().__init__(a=torch.tensor(number))
            self.number = number
            alive.add(number)

        def __del__(self):
            alive.discard(self.number)

    batches = copy_ahead(map(Source, range(6)), stream, ahead=1)
    for _ in range(3):
        next(batches)
    gc.collect()
    assert alive == {0, 1, 2, 3}  # the consumer's stream may not have come to them
    stream.events[0].is_done = stream.events[1].is_done = True
    next(batches)
    gc.collect()
    assert alive == {2, 3, 4}
    batches.close()


def test_tensors_are_found_in_all_nestings():
    ragged = wds.Ragged(np.arange(3), np.array([0, 1, 3]))
    batch = {"a": (torch.zeros(2), [np.ones(2, ">f4"), "text"]), "b": Pair(np.float32(1), 3), "c": ragged, "d": np.array(["x"])}
    found = map_tensors(batch, lambda tensor: tensor + 1)
    assert found["a"][0].tolist() == [1, 1]
    assert found["a"][1][0].tolist() == [2, 2]
    assert found["a"][1][1] == "text"
    assert found["b"] == Pair(np.float32(1), 3)
    assert (found["c"].values.tolist(), found["c"].offsets.tolist()) == ([1, 2, 3], [1, 2, 4])
    assert found["d"] is batch["d"]


def test_on_the_cpu_batches_are_left_as_they_are(tmp_path):
    batches = [(np.zeros(3), torch.ones(2)), "text"]
    for device in ("cpu", torch.device("cpu"), torch.device("cpu", 0)):
        ours = list(wds.to_device(device)(batches))
        assert all(one is other for one, other in zip(ours, batches, strict=True))
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": str(n), "cls": str(n)} for n in range(4)]))
    dataset = wds.WebDataset(tmp_path / "a.tar", shardshuffle=False).to_tuple("cls").batched(2).to_device("cpu")
    assert list(dataset) == [([b"0", b"1"],), ([b"2", b"3"],)]


def refuse(_):
    raise ValueError("no")


def test_an_error_behind_it_names_the_samples_of_its_batch(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"k{n}", "cls": str(n)} for n in range(4)]))
    dataset = wds.WebDataset(tmp_path / "a.tar", shardshuffle=False).to_tuple("cls").to_device("cpu").map(refuse)
    with pytest.raises(ValueError, match="no") as caught:
        list(dataset)
    assert "sample 'k0'" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("device", "text"), [("gpu", "no device"), ("meta", "there is no meta"), ("cuda:97", "there is no cuda:97")]
)
def test_a_device_that_is_not_there_is_said(device, text):
    with pytest.raises(SpecError, match=text):
        list(wds.to_device(device)([torch.zeros(2)]))


@pytest.mark.parametrize("arguments", [(None,), (3.5,), ("cuda", -1), ("cuda", True)])
def test_arguments_are_checked(arguments):
    with pytest.raises(SpecError, match="to_device|ToDevice"):
        wds.to_device(*arguments)


def test_ragged_columns_become_tensors():
    rows = [{"ids": [1, 2]}, {"ids": [3]}]
    (batch,) = wds.batched(2, collation_fn=wds.collate(ragged="values"), tensors=True)(rows)
    assert (torch.is_tensor(batch["ids"].values), batch["ids"].offsets.tolist()) == (True, [0, 2, 3])
    (batch,) = wds.batched(2, collation_fn=wds.collate(ragged="values"))(
        [{"ids": torch.tensor([1, 2])}, {"ids": torch.tensor([3])}]
    )
    assert (batch["ids"].values.tolist(), batch["ids"].offsets.dtype) == ([1, 2, 3], torch.int64)
    nested = torch.nested.nested_tensor_from_jagged(batch["ids"].values, batch["ids"].offsets)
    assert [row.tolist() for row in nested.unbind()] == [[1, 2], [3]]


def test_a_ragged_column_crosses_from_another_process():
    rows = [wds.Ragged(np.arange(4), np.array([0, 1, 4]))]
    with wds.loader(rows, start_method="fork") as loader:
        (found,) = loader
    assert [part.tolist() for part in found] == [[0], [1, 2, 3]]
