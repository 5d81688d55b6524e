"""Does a training loop that is killed at any moment go on as if it had not been? `python -m bench.killed --times 200`.

A plain loop trains for some epochs, and saves its step, its model and the state of its data every few batches, in one file that
takes the place of the one before. It is killed by SIGKILL at random moments and started again, until it is done; then the next
one begins, with another seed, until so many have been killed. What counts: each step, first time or again, has the batch
of the uninterrupted run, and so has the model at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import asyncwds as wds
from asyncwds.testing import write_shards

SHARDS, SAMPLES, BATCH, BUFFER = 8, 40, 4, 60
EPOCHS, SAVE_EVERY, STEP_SECONDS = 3, 3, 0.001


def key_of(sample: wds.Sample, rng: Random) -> str:
    return f"{sample['__key__']} {rng.random():.6f}"


def make_dataset(folder: Path, seed: int) -> wds.WebDataset[Any]:
    samples = wds.WebDataset(
        f"{folder}/*.tar", shardshuffle=True, seed=seed, prefetch=wds.Prefetch(interleave=2, interleave_samples=3)
    )
    return samples.shuffle(BUFFER).map(key_of, workers=2).listed(BATCH)


def make_stateful(folder: Path, seed: int) -> Any:
    from torchdata.stateful_dataloader import StatefulDataLoader

    data: Any = make_dataset(folder, seed)
    return StatefulDataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork")


def make_loader(folder: Path, seed: int) -> Any:
    return wds.loader(make_dataset(folder, seed), 2, start_method="fork")


def make_webloader(folder: Path, seed: int) -> Any:
    return wds.WebLoader(make_dataset(folder, seed), batch_size=None, num_workers=2, multiprocessing_context="fork")


KINDS: dict[str, Callable[[Path, int], Any]] = {
    "dataset": make_dataset,
    "stateful": make_stateful,
    "loader": make_loader,
    "webloader": make_webloader,
}


@dataclass(frozen=True)
class Checkpoint:
    step: int = 0
    model: str = ""
    epoch: int = 0
    data: Any = None

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, path: Path) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps({field.name: getattr(self, field.name) for field in fields(self)}))
        new.replace(path)


def train(make: Callable[[], Any], run: Path) -> None:
    """From the checkpoint, if there is one, to the end of the last epoch. Each step is a line of `run/steps`."""
    data = make()
    found = Checkpoint.read(run / "checkpoint.json")
    step, model = found.step, found.model
    if found.data is not None:
        data.load_state_dict(found.data)
    (run / "begun").touch()
    log = os.open(run / "steps", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for epoch in range(found.epoch, EPOCHS):
        for batch in data:
            step += 1
            model = hashlib.sha256(f"{model} {batch}".encode()).hexdigest()
            os.write(log, f"{step} {epoch} {json.dumps(batch)} {model}\n".encode())  # whole, or not at all
            time.sleep(STEP_SECONDS)
            if step % SAVE_EVERY == 0:
                Checkpoint(step, model, epoch, data.state_dict()).write(run / "checkpoint.json")
    (run / "done").touch()


@dataclass
class Account:
    killed: int = 0
    before_the_first_step: int = 0
    steps: int = 0
    again: int = 0
    wrong: int = 0
    runs: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(*[getattr(self, field.name) + getattr(other, field.name) for field in fields(self)])

    def __str__(self) -> str:
        return ", ".join(f"{field.name.replace('_', ' ')}: {getattr(self, field.name)}" for field in fields(self))


def live(train_once: Callable[[], None], wait: Callable[[], None] | None) -> bool:
    """One life in a process of its own. Whether it was killed; raises RuntimeError where it failed by itself."""
    child = multiprocessing.get_context("fork").Process(target=partial(_in_a_group, train_once))
    child.start()
    try:
        if wait is not None:
            wait()
            child.kill()  # what has ended does not mind
        child.join()
    finally:
        end_group(child)
    if child.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the training ended with exit code {child.exitcode}")
    return child.exitcode != 0


def _in_a_group(train_once: Callable[[], None]) -> None:
    os.setpgid(0, 0)
    train_once()


def end_group(child: multiprocessing.process.BaseProcess) -> None:
    """With what it left behind: torch's workers stay for ever where the process that starts them is killed meanwhile."""
    assert child.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def wait_for_moment(run: Path, rng: Random, longest: float) -> None:
    """Three of four are after the first step, so that not all die while they start."""
    begun, deadline = len(lines_of(run)), time.monotonic() + 60
    if rng.random() < 0.75:
        while len(lines_of(run)) == begun and not (run / "done").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
    time.sleep(rng.uniform(0, longest))


def lines_of(run: Path) -> list[str]:
    steps = run / "steps"
    return steps.read_text().splitlines() if steps.exists() else []


def follow(train_once: Callable[[], None], run: Path, whole: list[str], wait: Callable[[], None], times: int) -> Account:
    """One run, from life to life to its end, of which so many may be ended."""
    account = Account(runs=1)
    while not (run / "done").exists():
        begun, saved = len(lines_of(run)), Checkpoint.read(run / "checkpoint.json").step
        account.killed += live(train_once, wait if account.killed < times else None)
        lines = lines_of(run)[begun:]
        account.before_the_first_step += not lines
        account.steps += len(lines)
        account.wrong += lines != whole[saved : saved + len(lines)]
    account.again = account.steps - len(whole)
    account.wrong += set(lines_of(run)) != set(whole)
    return account


def measure(kind: str, times: int, folder: Path, seed: int) -> Account:
    account, rng = Account(), Random(seed)
    next(iter(make_dataset(folder / "shards", seed)))
    KINDS[kind](folder / "shards", seed)  # what these two import, children need not import
    while account.killed < times:
        make = partial(KINDS[kind], folder / "shards", seed + account.runs)
        whole, run = folder / f"whole {kind} {account.runs}", folder / f"run {kind} {account.runs}"
        whole.mkdir()
        run.mkdir()
        live(partial(train, make, whole), None)
        first, last = (whole / "begun").stat().st_mtime, (whole / "done").stat().st_mtime
        wait = partial(wait_for_moment, run, rng, (last - first) / 4)
        account += follow(partial(train, make, run), run, lines_of(whole), wait, times - account.killed)
    return account


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.killed", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--times", type=int, default=200, help="how often each is killed")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "'set_vital' is deprecated")  # torchdata 0.11 with torch 2.13
    wrong = 0
    with TemporaryDirectory() as folder:
        write_shards(f"{folder}/shards", shards=SHARDS, samples=SAMPLES)
        for kind in arguments.kinds or KINDS:
            account = measure(kind, arguments.times, Path(folder), arguments.seed)
            wrong += account.wrong
            print(f"{kind}: {account}", flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
