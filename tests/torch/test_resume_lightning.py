"""Trainings by Lightning that are killed by SIGKILL and go on: each step has the batch that it would have had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lives import BATCH, EPOCHS, SAVE_EVERY, STEPS, check_lives, note
from torchdata.stateful_dataloader import StatefulDataLoader

import asyncwds as wds

pytestmark = [pytest.mark.needs("lightning"), pytest.mark.slow, pytest.mark.timeout(300)]  # large imports

CASES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "with a length": ({"workers": 0, "length": STEPS}, []),
    # Before the first checkpoint; twice in an epoch (datasets 8308); behind the end of one (Lightning 21938, data 1437).
    "with a length, killed": ({"workers": 0, "length": STEPS}, [1, 3, 5, STEPS]),
    "without": ({"workers": 0, "length": None}, []),
    "without, killed": ({"workers": 0, "length": None}, [5, STEPS]),
    "workers": ({"workers": 2, "length": STEPS}, []),
    # With workers that stay, and an epoch behind the one that was gone on with (datasets 7447).
    "workers, killed": ({"workers": 2, "length": STEPS}, [3, STEPS + 5]),
}


def loader(folder: Path, workers: int, length: int | None) -> wds.TrainingLoader[Any]:
    dataset: Any = (
        wds.WebDataset(f"{folder}/shards/*.tar", shardshuffle=True, seed=1)
        .shuffle(10)
        .map(lambda sample: int(sample["__key__"].replace("-", "")))
        .batched(BATCH, collation_fn=torch.tensor)
    )
    stateful = StatefulDataLoader(
        dataset if length is None else dataset.with_length(length),
        batch_size=None,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
    )
    return wds.TrainingLoader(stateful, ahead=int(length is None))


def train(folder: Path, kill_at: int | None, workers: int, length: int | None) -> None:
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Data(lightning.LightningDataModule):
        def __init__(self) -> None:
            super().__init__()
            self.loader = loader(folder.parent, workers, length)

        def train_dataloader(self) -> Any:
            return self.loader

        def state_dict(self) -> dict[str, Any]:
            return self.loader.state_dict()

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.loader.load_state_dict(state_dict)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def training_step(self, batch: Any, _: int) -> Any:
            note(folder, self.trainer.global_step, batch.tolist(), kill_at)
            return (self.weight * batch.float().mean()).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e-9)

    torch.set_num_threads(1)
    trainer = lightning.Trainer(
        max_epochs=-1,
        max_steps=EPOCHS * STEPS,  # of an epoch whose last batch was the last before a checkpoint it counts the number again
        accelerator="cpu",
        logger=False,
        callbacks=[ModelCheckpoint(folder, "{step:03}", every_n_train_steps=SAVE_EVERY, save_top_k=-1)],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(Module(), Data(), ckpt_path=max(folder.glob("*.ckpt"), default=None))


def test_each_step_has_the_batch_that_it_would_have_had(tmp_path: Path) -> None:
    check_lives(__file__, tmp_path, CASES, "lightning.pytorch.callbacks")
