"""The training of `asyncwds demo`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from asyncwds import demo

Batch = tuple[torch.Tensor, np.ndarray]


class Batches:
    """Dark images of class 0 and bright ones of class 1; counts what is taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            self.taken += 1
            labels = np.arange(4) % 2
            yield torch.from_numpy(labels.astype(np.uint8) * 200).reshape(4, 1, 1, 1).expand(4, 3, 32, 32), labels


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other take minutes on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("seconds", "counted"), [(1000.0, 40), (0.0, 1)])
def test_so_many_batches_or_so_long_behind_a_warm_up(seconds: float, counted: int) -> None:
    batches = Batches()
    shown: list[tuple[float, float]] = []
    trained = demo.train(iter(batches), seconds, lambda loss, accuracy: shown.append((loss, accuracy)), 40)
    assert trained.batches == len(shown) == counted
    assert batches.taken == counted + demo.WARM_UP
    assert (trained.loss, trained.accuracy) == shown[-1]
    if counted > 20:
        assert trained.accuracy == 1.0
        assert shown[-1][0] < shown[0][0]
