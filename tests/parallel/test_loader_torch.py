"""`loader` with tensors in, tensors out."""

from __future__ import annotations

import pytest
import torch

import asyncwds as wds

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


class Tensors:
    def __iter__(self):
        image = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
        yield (
            image,
            image.to(memory_format=torch.channels_last),
            image[:, :, ::2],
            torch.tensor(3),
            torch.zeros(0, 2),
            {"half": image.half(), "bfloat16": image.bfloat16(), "bool": image > 3, "complex": image.to(torch.complex64)},
            image.clone().requires_grad_(True),
            [torch.tensor(1.5, dtype=torch.bfloat16), image.to(torch.complex64).conj(), image.to_sparse()],
        )
        yield torch.get_num_threads()


def flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in flat(item)] if isinstance(value, list | tuple) else [value]


def test_tensors_are_tensors_again():
    expected = flat(next(iter(Tensors())))
    with wds.loader(Tensors(), start_method="fork") as loader:
        batch, threads = loader
    assert threads == 1
    found = flat(batch)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert isinstance(ours, torch.Tensor)
        assert (ours.dtype, ours.shape, ours.requires_grad) == (theirs.dtype, theirs.shape, theirs.requires_grad)
        assert torch.equal(ours.to_dense(), theirs.to_dense())
    assert found[1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
def test_a_nested_tensor():
    parts = [torch.ones(2), torch.zeros(3)]
    with wds.loader([torch.nested.nested_tensor(parts)], start_method="fork") as loader:
        (found,) = loader
    assert [part.tolist() for part in found.unbind()] == [part.tolist() for part in parts]


def test_a_tensor_keeps_its_slot():
    data = [torch.full((1000,), number) for number in range(20)]
    with wds.loader(data, start_method="fork") as loader:
        kept = [tensor[3:7] for tensor in loader]
    assert [tensor.tolist() for tensor in kept] == [[number] * 4 for number in range(20)]


class Stacked:
    """Tensors of samples, of which `batched` makes those of batches."""

    def __init__(self, change):
        self.change = change

    def __iter__(self):
        yield from wds.batched(8)({"x": self.change(torch.full((40, 500), number)), "n": number} for number in range(40))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor,
        lambda tensor: tensor.bfloat16(),
        lambda tensor: tensor > 3,
        lambda tensor: tensor.float().requires_grad_(True),
        lambda tensor: tensor.float() if tensor[0, 0] % 2 else tensor,
        lambda tensor: tensor.T,
        lambda tensor: tensor.to(torch.complex64).conj(),
        lambda tensor: tensor[:0],
    ],
    ids=["int64", "bfloat16", "bool", "gradient", "two types", "transposed", "conjugated", "empty"],
)
def test_batches_of_tensors_are_the_same_as_here(change):
    with wds.loader(Stacked(change), start_method="fork") as loader:
        for ours, theirs in zip(loader, Stacked(change), strict=True):
            assert (ours["x"].dtype, ours["x"].shape, ours["x"].requires_grad) == (
                theirs["x"].dtype,
                theirs["x"].shape,
                theirs["x"].requires_grad,
            )
            assert torch.equal(ours["x"], theirs["x"])
            assert ours["n"].tolist() == theirs["n"].tolist()
