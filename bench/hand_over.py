"""What does it cost to hand batches over from another process, and how much does it slow down the training?

    python -m bench hand_over

Batches of 64 x 3 x 224 x 224 bytes, 9.6 MB. Three questions. The hand-over alone: batches that take no time to make, as one array
and cut into 4, 16 and 64 fields, since objects cost more than bytes; by `loader` where they are made and as arrays made elsewhere,
which it copies; and where torch is installed by its DataLoader with one worker. A pipeline that stacks images and works on each
batch: in this process, and by `loader`. A training step of the same work each time: with batches that are there; with those of
`loader`; and with batches that are there beside a process that makes the same batches and hands over nothing. What that process
costs is the machine's (cores and memory are shared), and what `loader` costs beyond it is the hand-over's. Processes are forked.
Targets are about the batches after the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

import numpy as np

from bench.harness import Answer, Contender, Figures, Question, Size, Target, World
from bench.tally import Tally

SHAPE = (64, 3, 224, 224)
NBYTES = 64 * 3 * 224 * 224
POOL = 8  # arrays that take turns: more than any contender has in flight
FIELDS = (1, 4, 16, 64)
WORK = 3  # sums over a batch in each step of the pipeline and of the training


class Batches:
    """Numbered batches, each a dict of `fields` arrays: memory as it is, or where `ready` one of a pool."""

    def __init__(self, number: int, fields: int = 1, *, ready: bool = False) -> None:
        self.number, self.fields, self.ready = number, fields, ready

    def __iter__(self) -> Iterator[dict[str, Any]]:
        import asyncwds as wds

        pool = [np.full(SHAPE, index, np.uint8) for index in range(POOL if self.ready else 0)]
        for number in range(self.number):
            batch = pool[number % POOL] if pool else wds.batch_array(SHAPE, np.uint8)
            batch[0, 0, 0, 0] = number % 251
            yield {str(index): field for index, field in enumerate(np.split(batch, self.fields))}


class Stacked:
    """A pipeline: images, collected in numbered batches, each of which is summed up `work` times."""

    def __init__(self, number: int, work: int = 0) -> None:
        self.number, self.work = number, work

    def __iter__(self) -> Iterator[dict[str, Any]]:
        import asyncwds as wds

        for batch in wds.batched(SHAPE[0])(self._images()):
            compute(batch["0"], self.work)
            yield batch

    def _images(self) -> Iterator[dict[str, Any]]:
        images = [np.full(SHAPE[1:], index, np.uint8) for index in range(SHAPE[0])]
        for number in range(self.number):
            images[0][0, 0, 0] = number % 251
            for image in images:
                yield {"0": image}


def compute(batch: Any, times: int) -> None:
    for _ in range(times):
        batch.sum(dtype=np.uint64)


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    number = 600 if size == "full" else 5
    yield {"samples": number, "bytes": number * NBYTES}


def consume(batches: Iterable[dict[str, Any]], tally: Tally, work: int = 0) -> None:
    for batch in batches:
        fields = list(batch.values())
        tally.add_part(sum(field.nbytes for field in fields), sum(int(field[0, 0, 0, 0]) for field in fields[:1]))
        tally.samples += 1
        if work:
            compute(np.asarray(fields[0]), work)


def directly(world: World, tally: Tally, *, step: int = 0) -> None:
    consume(Batches(world["samples"], ready=True), tally, step)


def by_loader(world: World, tally: Tally, *, fields: int = 1, ready: bool = False) -> None:
    import asyncwds as wds

    with wds.loader(Batches(world["samples"], fields, ready=ready), start_method="fork") as loader:
        consume(loader, tally)


def copied(world: World, tally: Tally) -> None:
    """What a copy costs, to arrays of which as many take turns as `loader` has."""
    places = [np.full(SHAPE, 0, np.uint8) for _ in range(4)]

    def copies() -> Iterator[dict[str, Any]]:
        for number, batch in enumerate(Batches(world["samples"], ready=True)):
            place = places[number % len(places)]
            place[:] = batch["0"]
            yield {"0": place}

    consume(copies(), tally)


def pipeline_here(world: World, tally: Tally) -> None:
    consume(Stacked(world["samples"], WORK), tally)


def pipeline_by_loader(world: World, tally: Tally) -> None:
    import asyncwds as wds

    with wds.loader(Stacked(world["samples"], WORK), start_method="fork") as loader:
        consume(loader, tally)


def training_by_loader(world: World, tally: Tally) -> None:
    import asyncwds as wds

    with wds.loader(Stacked(world["samples"]), start_method="fork") as loader:
        consume(loader, tally, WORK)


def training_beside(world: World, tally: Tally) -> None:
    """A step for each batch that the other process makes, which is not waited for."""
    context = get_context("fork")
    steps = context.Semaphore(2)
    neighbour = context.Process(target=_make_one_a_step, args=(world["samples"], steps), daemon=True)
    neighbour.start()

    def stepping() -> Iterator[dict[str, Any]]:
        for batch in Batches(world["samples"], ready=True):
            steps.release()
            yield batch

    consume(stepping(), tally, WORK)
    neighbour.join()


def _make_one_a_step(number: int, steps: Any) -> None:
    for _ in Stacked(number):
        steps.acquire()


def by_dataloader(world: World, tally: Tally, *, fields: int) -> None:
    from torch.utils.data import DataLoader, IterableDataset

    class Dataset(Batches, IterableDataset):  # type: ignore[misc]
        pass

    batches = Dataset(world["samples"], fields, ready=True)
    consume(DataLoader(batches, batch_size=None, num_workers=1, multiprocessing_context="fork"), tally)


def _by_fields(name: str, run: Callable[..., None], needed: str) -> dict[str, Contender]:
    return {f"{name}, {fields} fields": Contender(partial(run, fields=fields), needs=[needed]) for fields in FIELDS}


def _seconds(figures: Figures) -> float:
    """Of a batch after the first, which waits for a process to start and its memory to be made."""
    return (figures.seconds - figures.first) / (figures.samples - 1)


def _over(one: str, other: str) -> Callable[[Answer], float]:
    return lambda answer: _seconds(answer[one]) / _seconds(answer[other])


def _gb_per_second(name: str) -> Callable[[Answer], float]:
    return lambda answer: NBYTES / _seconds(answer[name]) / 1e9


BESIDE_TORCH = Target("GB/s by loader over DataLoader", _over("DataLoader, 1 fields", "loader, arrays made elsewhere"), at_least=1)
HAS_TORCH = find_spec("torch") is not None
LOADER = ["asyncwds:loader"]
QUESTION = Question(
    prepare=prepare,
    contenders={
        "nothing between": Contender(directly),
        "a copy": Contender(copied),
        **_by_fields("loader", by_loader, "asyncwds:loader"),
        "loader, arrays made elsewhere": Contender(partial(by_loader, ready=True), needs=LOADER),
        **(_by_fields("DataLoader", by_dataloader, "torch.utils.data") if HAS_TORCH else {}),
        "pipeline here": Contender(pipeline_here, needs=LOADER),
        "pipeline by loader": Contender(pipeline_by_loader, needs=LOADER),
        "training alone": Contender(partial(directly, step=WORK), needs=LOADER),
        "training beside a process": Contender(training_beside, needs=LOADER),
        "training by loader": Contender(training_by_loader, needs=LOADER),
    },
    columns=["mb_per_second", "samples_per_second", "cpu_per_gb", "first"],
    targets=[
        Target("GB/s by loader", _gb_per_second("loader, 1 fields"), at_least=5),
        Target("GB/s of arrays made elsewhere, over a copy", _over("a copy", "loader, arrays made elsewhere"), at_least=0.8),
        Target("a pipeline's batches/s by loader over those here", _over("pipeline here", "pipeline by loader"), at_least=0.9),
        Target("a training step with loader over one without", _over("training by loader", "training alone"), at_most=1.05),
        Target("… over one beside a process", _over("training by loader", "training beside a process"), at_most=1.02),
        *([BESIDE_TORCH] if HAS_TORCH else []),
    ],
)
