"""Megatron-Energon: tar shards, `get_savable_loader`, a state for each rank."""

from __future__ import annotations

import base64
import pickle
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from megatron.energon import WorkerConfig, get_savable_loader, get_train_dataset

from bench.exactly_once.rank import BATCH, BUFFER, write_tars


def write(folder: Path) -> None:
    write_tars(folder)
    options = ["--non-interactive", "--split-ratio", "1,0,0", "--sample-type", "TextSample", "--field-map", '{"text": "txt"}']
    subprocess.run(["energon", "prepare", *options, str(folder)], check=True, capture_output=True)


def redistributed(states: list[Any], world_size: int) -> list[Any]:
    """By its own command. Raises RuntimeError with the last line of what that says."""
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"rank-{number}.pt" for number in range(len(states))]
        for file, state in zip(files, states, strict=True):
            torch.save(state, file)
        out = Path(folder) / "new"
        command = ["energon", "checkpoint", "redist", "--new-world-size", str(world_size), *map(str, files), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return [torch.load(out / file.name, weights_only=False) for file in files[:world_size]]


@contextmanager
def reading(folder: Path, rank: int, world_size: int, states: list[Any] | None) -> Iterator[tuple[Any, Callable[[], Any]]]:
    place = WorkerConfig(rank=rank, world_size=world_size, num_workers=0)
    dataset = get_train_dataset(
        str(folder), worker_config=place, batch_size=BATCH, shuffle_buffer_size=BUFFER, max_samples_per_sequence=None, repeat=False
    )
    loader = get_savable_loader(dataset)
    if states is not None:
        saved = [pickle.loads(base64.b64decode(state)) for state in states]
        loader.restore_state_rank((saved if len(saved) == world_size else redistributed(saved, world_size))[rank])
    yield (
        ([int(key.rpartition("/")[2]) for key in batch.__key__] for batch in loader),
        lambda: base64.b64encode(pickle.dumps(loader.save_state_rank())).decode(),
    )
