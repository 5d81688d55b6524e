from __future__ import annotations

import asyncio
import pickle
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import asyncwds as wds
from asyncwds import batched, default_collation_fn
from asyncwds.errors import SampleError


def test_tensors_are_stacked() -> None:
    (combined,) = default_collation_fn([(torch.zeros(2, 3, dtype=torch.uint8),), (torch.ones(2, 3, dtype=torch.uint8),)])
    assert (combined.dtype, tuple(combined.shape)) == (torch.uint8, (2, 2, 3))
    assert default_collation_fn([(torch.tensor(1),), (torch.tensor(2.5),)])[0].tolist() == [1, 2.5]


def test_tensors_of_different_shapes_are_an_error() -> None:
    with pytest.raises(SampleError, match=r"\(2,\), \(3,\)"):
        default_collation_fn([(torch.zeros(2),), (torch.zeros(3),)])


@pytest.mark.parametrize("other", [np.zeros(2), 1, None])
def test_tensors_beside_other_values_are_an_error(other: object) -> None:
    for samples in ([(torch.zeros(2),), (other,)], [(other,), (torch.zeros(2),)]):
        with pytest.raises(SampleError, match="Tensor"):
            default_collation_fn(samples)


Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024 - what users have


@pytest.mark.parametrize(
    ("column", "dtype", "expected"),
    [
        (np.array([1, 2]), torch.int64, [1, 2]),
        (np.array([True, False]), torch.bool, [True, False]),
        (np.array([1.5, 2]), torch.float64, [1.5, 2]),
        (np.array([[1], [2]], ">u2"), torch.uint16, [[1], [2]]),
        (np.array([1, 2, 3], np.float16)[::-1], torch.float16, [3, 2, 1]),
        (np.frombuffer(b"ab", np.uint8), torch.uint8, [97, 98]),
        (np.array([1j]), torch.complex128, [1j]),
        (np.float32(1), torch.float32, 1),
        (torch.tensor([3]), torch.int64, [3]),
    ],
    ids=repr,
)
def test_arrays_become_tensors_on_request(column: Any, dtype: torch.dtype, expected: Any) -> None:
    def collated(batch: list[Any]) -> Any:
        return (column, {"a": [column]}, Pair(column, "text"))

    ((plain, nested, pair),) = batched(2, collation_fn=collated, tensors=True)([1, 2])
    for found in (plain, nested["a"][0], pair.left):
        assert torch.is_tensor(found)
        assert (found.dtype, found.tolist()) == (dtype, expected)
    assert pair.right == "text"


@pytest.mark.parametrize("column", [["a", "b"], [None, None], [b"a"], np.array(["a"]), np.array([2**70]), [{"a": 1}]], ids=repr)
def test_what_torch_does_not_have_is_left(column: Any) -> None:
    ((found,),) = batched(2, collation_fn=lambda batch: (column,), tensors=True)([1, 2])
    assert found is column or found == column
    assert type(found) is type(column)


def test_lists_without_collation_have_tensors_too() -> None:
    (batch,) = batched(2, collation_fn=None, tensors=True)([{"a": np.zeros(1)}, {"a": np.zeros(2)}])
    assert [torch.is_tensor(sample["a"]) for sample in batch] == [True, True]


def test_large_arrays_are_not_copied() -> None:
    array = np.zeros((2, 3))
    ((tensor,),) = batched(1, collation_fn=lambda batch: (array,), tensors=True)([1])
    tensor[0, 0] = 7
    assert array[0, 0] == 7


def test_a_type_that_torch_does_not_have_goes_to_the_handler() -> None:
    stage = batched(1, tensors=True, handler=wds.ignore_and_continue)
    assert [batch[0].tolist() for batch in stage([(np.zeros(1, np.longdouble),), (1,)])] == [[1]]


def test_the_same_as_from_a_loader_for_every_kind_of_loop(tmp_path: Path) -> None:
    samples = [{"__key__": str(n), "cls": str(n), "npy": np.full(2, n), "txt": f"t{n}"} for n in range(4)]
    with wds.TarWriter(str(tmp_path / "a.tar")) as writer:
        for sample in samples:
            writer.write(sample)
    described = wds.WebDataset(str(tmp_path / "a.tar")).decode().to_tuple("cls", "npy", "txt")
    dataset = described.batched(2, tensors=True)
    assert pickle.loads(pickle.dumps(dataset)) is not None

    async def iterated() -> list[Any]:
        return [batch async for batch in dataset]

    from_loader = list(DataLoader(described.batched(2), batch_size=None))
    for batches in (list(dataset), asyncio.run(iterated())):
        for ours, theirs in zip(batches, from_loader, strict=True):
            assert all(torch.equal(left, right) for left, right in zip(ours[:2], theirs[:2], strict=True))
            assert [left.dtype for left in ours[:2]] == [right.dtype for right in theirs[:2]]
            assert ours[2] == theirs[2]
    labels, arrays, _ = next(iter(described.batched(2)))
    assert isinstance(labels, np.ndarray)
    assert isinstance(arrays, np.ndarray)
