"""Passing over data more than once, and giving an epoch another length than the data have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice, repeat
from typing import Any, Generic, TypeVar

from asyncwds import checks
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import opened
from asyncwds.pipeline.protocol import ItemT_co
from asyncwds.runtime.torch_iterable import TorchIterable

T = TypeVar("T")


def guess_batchsize(batch: Any) -> int:
    """The length of a batch's first column."""
    return len(next(iter(batch.values())) if isinstance(batch, dict) else batch[0])


def repeatedly(
    source: Iterable[T],
    nepochs: int | None = None,
    nbatches: int | None = None,
    nsamples: int | None = None,
    batchsize: Callable[[T], int] = guess_batchsize,
) -> Iterator[T]:
    """Iterates over the source again and again: `nepochs` times, or up to `nbatches` items, or until they hold `nsamples` samples.

    None is without limit. A pass that gives nothing is the last: repeating it would never end.
    """
    for name, number in {"nepochs": nepochs, "nbatches": nbatches, "nsamples": nsamples}.items():
        if number is not None:
            checks.whole(f"repeatedly: {name}, if it is not None,", number, 0)
    checks.function("repeatedly: batchsize", batchsize, takes=1)
    return _repeatedly(source, nepochs, nbatches, nsamples, batchsize)


def _repeatedly(
    source: Iterable[T], nepochs: int | None, nbatches: int | None, nsamples: int | None, batchsize: Callable[[T], int]
) -> Iterator[T]:
    if nbatches == 0 or nsamples == 0:
        return
    samples = 0
    for batches, item in enumerate(repeatedly0(source, nepochs), start=1):
        yield item
        samples += 0 if nsamples is None else batchsize(item)
        if batches == nbatches or (nsamples is not None and samples >= nsamples):
            return


def repeatedly0(loader: Iterable[T], nepochs: int | None = None, nbatches: int | None = None) -> Iterator[T]:
    """Iterates over the loader `nepochs` times, each time over its first `nbatches` items. None is without limit."""
    for _ in count() if nepochs is None else range(nepochs):
        empty = True
        with opened(loader) as items:
            for item in islice(items, nbatches):
                empty = False
                yield item
        if empty:
            return


@TorchIterable.register
class MockDataset(Generic[ItemT_co]):
    """The same sample again and again, `length` times, in every worker: for measuring what comes after the data."""

    def __init__(self, sample: ItemT_co, length: int) -> None:
        self.sample = sample
        self.length = checks.whole("MockDataset: length", length, 0)

    def __iter__(self) -> Iterator[ItemT_co]:
        return repeat(self.sample, self.length)

    def __repr__(self) -> str:
        return f"MockDataset({type(self.sample).__name__}, length={self.length})"


@TorchIterable.register
class with_epoch(Generic[ItemT_co]):  # noqa: N801 - WebDataset's name
    """A dataset whose iterations are `length` items long: the data as often as that takes, from their beginning each time."""

    def __init__(self, dataset: Iterable[ItemT_co], length: int) -> None:
        self.dataset = dataset
        self.length = checks.whole("with_epoch: length", length, 1)

    def __iter__(self) -> Iterator[ItemT_co]:
        return repeatedly(self.dataset, nbatches=self.length)

    def __repr__(self) -> str:
        return f"with_epoch({show_value(self.dataset)}, {self.length})"


@TorchIterable.register
class with_length(Generic[ItemT_co]):  # noqa: N801 - WebDataset's name
    """A dataset with a `len()` for those who ask for one. It changes nothing else."""

    def __init__(self, dataset: Iterable[ItemT_co], length: int) -> None:
        self.dataset = dataset
        self.length = checks.whole("with_length: length", length, 0)

    def __iter__(self) -> Iterator[ItemT_co]:
        return iter(self.dataset)

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        return f"with_length({show_value(self.dataset)}, {self.length})"
