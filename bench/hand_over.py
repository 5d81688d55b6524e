"""What does it cost to hand batches over from another process, and how much does it slow down the training?

    python -m bench hand_over

Batches of 64 x 3 x 224 x 224 bytes, 9.6 MB, that are there already, so that nothing but the hand-over takes time: as one array,
and cut into 4, 16 and 64 fields, since objects cost more than bytes; by `loader`, and where torch is installed by its DataLoader
with one worker. Then a pipeline that takes some time for each batch, in this process and by `loader`. Then a training step of the
same work each time, with batches that are there and with those of `loader`. Processes are forked, and start within milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.harness import Answer, Contender, Question, Size, Target, World
from bench.tally import Tally

SHAPE = (64, 3, 224, 224)
NBYTES = 64 * 3 * 224 * 224
POOL = 8  # arrays that take turns: more than any contender has in flight
FIELDS = (1, 4, 16, 64)
WORK = 3  # sums over a batch in each step of the pipeline and of the training


class Batches:
    """Numbered batches, each a dict of `fields` arrays; `work` is how often each is summed up first."""

    def __init__(self, number: int, fields: int = 1, work: int = 0) -> None:
        self.number, self.fields, self.work = number, fields, work

    def __iter__(self) -> Iterator[dict[str, Any]]:
        pool = [np.full(SHAPE, index, np.uint8) for index in range(POOL)]
        for number in range(self.number):
            batch = pool[number % POOL]
            batch[0, 0, 0, 0] = number % 251
            compute(batch, self.work)
            yield {str(index): field for index, field in enumerate(np.split(batch, self.fields))}


def compute(batch: Any, times: int) -> None:
    for _ in range(times):
        batch.sum(dtype=np.uint64)


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    number = 200 if size == "full" else 5
    yield {"samples": number, "bytes": number * NBYTES}


def consume(batches: Iterable[dict[str, Any]], tally: Tally, work: int = 0) -> None:
    for batch in batches:
        fields = list(batch.values())
        tally.add_part(sum(field.nbytes for field in fields), sum(int(field[0, 0, 0, 0]) for field in fields[:1]))
        tally.samples += 1
        if work:
            compute(np.asarray(fields[0]), work)


def directly(world: World, tally: Tally, *, work: int = 0, step: int = 0) -> None:
    consume(Batches(world["samples"], 1, work), tally, step)


def by_loader(world: World, tally: Tally, *, fields: int = 1, work: int = 0, step: int = 0) -> None:
    import asyncwds as wds

    with wds.loader(Batches(world["samples"], fields, work), start_method="fork") as loader:
        consume(loader, tally, step)


def by_dataloader(world: World, tally: Tally, *, fields: int) -> None:
    from torch.utils.data import DataLoader, IterableDataset

    class Dataset(Batches, IterableDataset):  # type: ignore[misc]
        pass

    batches = Dataset(world["samples"], fields)
    consume(DataLoader(batches, batch_size=None, num_workers=1, multiprocessing_context="fork"), tally)


def _by_fields(name: str, run: Callable[..., None], needed: str) -> dict[str, Contender]:
    return {f"{name}, {fields} fields": Contender(partial(run, fields=fields), needs=[needed]) for fields in FIELDS}


def _over(one: str, other: str) -> Callable[[Answer], float]:
    return lambda answer: answer[one].seconds / answer[other].seconds


BESIDE_TORCH = Target("GB/s by loader over DataLoader", _over("DataLoader, 1 fields", "loader, 1 fields"), at_least=1)
HAS_TORCH = find_spec("torch") is not None
QUESTION = Question(
    prepare=prepare,
    contenders={
        "nothing between": Contender(directly),
        **_by_fields("loader", by_loader, "asyncwds:loader"),
        **(_by_fields("DataLoader", by_dataloader, "torch.utils.data") if HAS_TORCH else {}),
        "pipeline here": Contender(partial(directly, work=WORK)),
        "pipeline by loader": Contender(partial(by_loader, work=WORK), needs=["asyncwds:loader"]),
        "training alone": Contender(partial(directly, step=WORK)),
        "training by loader": Contender(partial(by_loader, step=WORK), needs=["asyncwds:loader"]),
    },
    columns=["mb_per_second", "samples_per_second", "cpu_per_gb"],
    targets=[
        Target("GB/s by loader", lambda a: a["loader, 1 fields"].mb_per_second / 1e3, at_least=5),
        Target("a pipeline's batches/s by loader over those here", _over("pipeline here", "pipeline by loader"), at_least=0.9),
        Target("a training step with loader over one without", _over("training by loader", "training alone"), at_most=1.05),
        *([BESIDE_TORCH] if HAS_TORCH else []),
    ],
)
