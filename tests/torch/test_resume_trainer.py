"""Trainings by Hugging Face's Trainer that are killed by SIGKILL and go on: each step has the batch that it would have had."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lives import BATCH, EPOCHS, SAVE_EVERY, STEPS, check_lives, note
from torchdata.stateful_dataloader import StatefulDataLoader

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import write_shards

pytestmark = [
    pytest.mark.needs("transformers"),
    pytest.mark.slow,  # large imports
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata 0.11 with torch 2.13
]

CASES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "in process": ({"workers": 0}, []),
    # In the second and third epoch the Trainer, which knows no length, begins to count at 0 (transformers 40690).
    "in process, killed": ({"workers": 0}, [3, STEPS, 2 * STEPS + 1]),
    "workers": ({"workers": 2}, []),
    "workers, killed": ({"workers": 2}, [STEPS + 5]),
}


def loader(shards: str, workers: int) -> wds.TrainingLoader[Any]:
    dataset: Any = (
        wds.WebDataset(shards, shardshuffle=True, seed=1)
        .shuffle(10)
        .map(lambda sample: int(sample["__key__"].replace("-", "")))
        .batched(BATCH, collation_fn=lambda numbers: {"labels": torch.tensor(numbers)})
    )
    context = "fork" if workers else None
    return wds.TrainingLoader(StatefulDataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=context))


class Model(torch.nn.Module):
    def __init__(self, folder: Path, kill_at: int | None) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)
        self.folder, self.kill_at = folder, kill_at
        self.trainer: Any = None

    def forward(self, labels: Any) -> Any:
        note(self.folder, self.trainer.state.global_step, labels.tolist(), self.kill_at)
        return {"loss": self.linear(labels.float().unsqueeze(1)).mean() * 1e-9}


def train(folder: Path, kill_at: int | None, workers: int) -> None:
    from transformers import Trainer, TrainingArguments

    class StreamingTrainer(Trainer):
        def get_train_dataloader(self) -> Any:
            return self.train_dataset

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "'set_vital' is deprecated")
    batches: Any = loader(f"{folder.parent}/shards/*.tar", workers)
    model, saving = Model(folder, kill_at), wds.TrainerStateCallback(batches)
    callbacks: list[Any] = [saving]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        max_steps=EPOCHS * STEPS,
        save_steps=SAVE_EVERY,
        ignore_data_skip=True,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )
    model.trainer = trainer = StreamingTrainer(model=model, args=arguments, train_dataset=batches, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=any(folder.glob("out/checkpoint-*")))


def test_each_step_has_the_batch_that_it_would_have_had(tmp_path: Path) -> None:
    check_lives(__file__, tmp_path, CASES, "transformers.trainer")


def test_another_loader_is_refused(tmp_path: Path) -> None:
    (shards, *_) = write_shards(tmp_path, shards=1, samples=4)
    with pytest.raises(SpecError, match="TrainingLoader"):
        wds.TrainerStateCallback(wds.WebDataset(str(shards)))  # type: ignore[arg-type]


def test_a_checkpoint_without_a_state_is_refused_and_so_is_skipping(tmp_path: Path) -> None:
    (shards, *_) = write_shards(tmp_path, shards=1, samples=4)
    callback = wds.TrainerStateCallback(loader(str(shards), 0), tmp_path / "checkpoint-7")
    state = SimpleNamespace(global_step=7)
    for skips, message in [(False, "ignore_data_skip=True"), (True, "checkpoint-7/asyncwds-1.json is not there")]:
        arguments = SimpleNamespace(ignore_data_skip=skips, output_dir=str(tmp_path), process_index=1)
        with pytest.raises(SpecError, match=message):
            callback.on_train_begin(arguments, state, None)
