"""The dataset in other people's training loops. docs/training.md has the recipes, which the tests of the documents run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import asyncwds as wds
from asyncwds.testing import make_shard

pytestmark = [pytest.mark.filterwarnings("ignore:This DataLoader will create"), pytest.mark.slow]  # large imports

SHARDS, SAMPLES = 8, 4
ALL = list(range(SHARDS * SAMPLES))


@pytest.fixture
def shards(tmp_path):
    for shard in range(SHARDS):
        samples = [{"__key__": f"{shard}{n}", "cls": str(shard * SAMPLES + n)} for n in range(SAMPLES)]
        (tmp_path / f"s{shard}.tar").write_bytes(make_shard(samples))
    return f"{tmp_path}/s{{0..{SHARDS - 1}}}.tar"


def dataset(shards: str, batch: int = SAMPLES) -> wds.WebDataset:
    return wds.WebDataset(shards, shardshuffle=100, seed=1).shuffle(10).decode().to_tuple("cls").batched(batch)


def orders(seen: list[list[int]]) -> list[list[int]]:
    """Every sample once in each epoch, and in another order in each."""
    assert all(sorted(epoch) == ALL for epoch in seen)
    assert len(set(map(tuple, seen))) == len(seen)
    return seen


@pytest.mark.needs("lightning")
@pytest.mark.parametrize("kind", ["WebLoader", "DataLoader", "persistent"])
def test_lightning(shards, kind, tmp_path):
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.seen: list[list[int]] = []

        def on_train_epoch_start(self) -> None:
            self.seen.append([])

        def training_step(self, batch: Any, _: int) -> Any:
            self.seen[-1] += batch[0].tolist()
            return (self.weight * batch[0].float().mean()).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fitted(data: wds.WebDataset, epochs: int) -> list[list[int]]:
        made: Any = wds.WebLoader if kind == "WebLoader" else DataLoader
        loader = made(data, batch_size=None, num_workers=2, persistent_workers=kind == "persistent")
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, loader)
        return module.seen

    first = orders(fitted(dataset(shards), 3))
    again = dataset(shards)
    again.set_epoch(2)
    assert fitted(again, 1) == first[2:]


@pytest.mark.needs("accelerate")
def test_accelerate(shards):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    data = dataset(shards)
    loader = accelerator.prepare(DataLoader(data, batch_size=None, num_workers=2))
    first = orders([[label for (labels,) in loader for label in labels.tolist()] for _ in range(3)])
    plain = wds.WebLoader(dataset(shards), batch_size=None, num_workers=2)
    assert [[label for (labels,) in plain for label in labels.tolist()] for _ in range(3)] == first


@pytest.mark.needs("transformers")
@pytest.mark.parametrize("workers", [0, 2])
def test_hugging_face_trainer(shards, workers, tmp_path):
    from transformers import Trainer, TrainingArguments

    seen: list[int] = []

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(1, 2)

        def forward(self, labels: Any) -> Any:
            seen.extend(labels.tolist())
            logits = self.linear(labels.float().unsqueeze(1))
            return {"loss": torch.nn.functional.cross_entropy(logits, labels % 2), "logits": logits}

    class StreamingTrainer(Trainer):
        def get_train_dataloader(self) -> Any:
            return wds.WebLoader(self.train_dataset, batch_size=None, num_workers=self.args.dataloader_num_workers)

    data = wds.WebDataset(shards, shardshuffle=100, seed=1).shuffle(10).decode().rename(labels="cls", keep=False).batched(SAMPLES)
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=2 * SHARDS,
        dataloader_num_workers=workers,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )
    assert StreamingTrainer(model=Model(), args=arguments, train_dataset=data).train().global_step == 2 * SHARDS
    orders([seen[: len(ALL)], seen[len(ALL) :]])


def test_an_epoch_of_a_web_loader_is_so_many_batches_whatever_the_ranks_have(shards, monkeypatch):
    lengths = []
    for rank in range(3):  # 8 shards: 3, 3 and 2
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        data = wds.WebDataset(shards, nodesplitter=wds.split_by_node).decode().to_tuple("cls").batched(SAMPLES)
        lengths.append(len(list(wds.WebLoader(data, batch_size=None, num_workers=2).with_epoch(5))))
    assert lengths == [5, 5, 5]
