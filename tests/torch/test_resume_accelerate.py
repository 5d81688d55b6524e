"""Trainings with Accelerate that are killed by SIGKILL and go on: each step has the batch that it would have had.

The loader is not prepared: Accelerate's own would fetch a batch ahead of the training (accelerate 3034, 4204), and is not there for
more than one worker (accelerate 3080, 3110). It is registered for checkpointing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lives import BATCH, EPOCHS, SAVE_EVERY, STEPS, check_lives, note
from torchdata.stateful_dataloader import StatefulDataLoader

import asyncwds as wds

pytestmark = [pytest.mark.needs("accelerate"), pytest.mark.slow, pytest.mark.timeout(300)]  # large imports

CASES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "dataset": ({"workers": None}, []),
    "dataset, killed": ({"workers": None}, [1, 5, STEPS]),
    "workers": ({"workers": 2}, []),
    "workers, killed": ({"workers": 2}, [STEPS + 3]),
}


def loader(folder: Path, workers: int | None) -> Any:
    dataset: Any = (
        wds.WebDataset(f"{folder}/shards/*.tar", shardshuffle=True, seed=1)
        .shuffle(10)
        .map(lambda sample: int(sample["__key__"].replace("-", "")))
        .batched(BATCH, collation_fn=torch.tensor)
    )
    if workers is None:
        return dataset
    return StatefulDataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context="fork")


class Steps:
    """How many there were."""

    done = 0

    def state_dict(self) -> dict[str, int]:
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.done = state_dict["done"]


def train(folder: Path, kill_at: int | None, workers: int | None) -> None:
    from accelerate import Accelerator

    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(1, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1e-9))
    batches, steps = loader(folder.parent, workers), Steps()
    accelerator.register_for_checkpointing(batches, steps)
    if (latest := max(folder.glob("saved-*"), default=None)) is not None:
        accelerator.load_state(str(latest))
    while steps.done < EPOCHS * STEPS:
        for batch in batches:
            note(folder, steps.done, batch.tolist(), kill_at)
            accelerator.backward(model(batch.float().unsqueeze(1)).mean())
            optimizer.step()
            optimizer.zero_grad()
            steps.done += 1
            if steps.done % SAVE_EVERY == 0:
                accelerator.save_state(str(folder / f"saved-{steps.done:03}"))


def test_each_step_has_the_batch_that_it_would_have_had(tmp_path: Path) -> None:
    check_lives(__file__, tmp_path, CASES, "accelerate")
