from __future__ import annotations

import numpy as np
import pytest
import torch

from asyncwds.errors import SampleError
from asyncwds.pipeline.batching import default_collation_fn


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
