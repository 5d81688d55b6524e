"""The stages that shuffle samples in a bounded buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, ClassVar, TypeVar

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream, pack_rng, restore_rng
from asyncwds.pipeline.held import HeldSamples
from asyncwds.pipeline.lineage import SampleTrace, trace_of
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.stage import PipelineStage
from asyncwds.runtime.handlers import Handler
from asyncwds.runtime.worker_info import checked_seed
from asyncwds.samples import Sample
from asyncwds.shards.plan import shuffle_items

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Draws uniformly from a buffer of `bufsize` items, the first once `initial` are in it; below 2 the order is kept.

    Called by itself it draws as WebDataset does: from `rng`, from `Random(seed)`, or at random. In a dataset
    the order depends on the epoch: a seeded shuffle is WebDataset's in epoch 0 and another one in each later epoch,
    an unseeded one follows the seed of the dataset and differs from place to place. `rng` is used as it is, and goes on.
    Raises SpecError if both are given.
    """

    one_to_one: ClassVar[bool] = True
    gives_what_it_takes: ClassVar[bool] = True
    counts_marks: ClassVar[bool] = True
    bufsize: int = 1000
    initial: int = 100
    rng: Random | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", checked_seed("shuffle", self.seed, self.rng))
        object.__setattr__(self, "bufsize", _size("shuffle: the size", self.bufsize))
        object.__setattr__(self, "initial", _size("shuffle: initial", self.initial))

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return shuffle_items(source, self.bufsize, self.initial, self.rng or Random(self.seed))  # noqa: S311 - an order, no secret

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        return ShuffleStream(ShuffleRun(self, source, self.rng or context.rng(self.seed)), source)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        rng = self.rng or context.rng(self.seed)
        try:
            known: Any = state
            held = len(known["held"])
            restore_rng(rng, known["rng"])
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"not the state of a shuffle: {show_value(state)}") from error
        return ShuffleStream(ShuffleRun(self, source, rng, held), source)


def _size(name: str, given: int) -> int:
    """WebDataset's may be 1e3, or a flag: False for none."""
    size = int(given) if isinstance(given, bool) else given
    checks.real(name, size, 0)
    return size


# A sample, which tells by itself where it came from, or another item and that. A pair for each sample would be one more object
# for the garbage collector to look at, as long as the buffer holds it.
Held = Sample | tuple[Any, tuple[SampleTrace, ...]]


class ShuffleRun:
    """A shuffle in one pass."""

    def __init__(self, stage: Shuffle, source: Stream, rng: Random, held: int = 0) -> None:
        self._stage = stage
        self._source = source
        self._rng = rng
        self._held = held  # of the first items of the source, so many were in the buffer
        self._buffer: list[Held] = []
        self._changed = bytearray()  # as in `HeldSamples`
        self._samples: HeldSamples | None = None  # once somebody has asked for a state
        self._latest: Held = (None, ())
        self._pairs_in = False  # whether the buffer may have other than samples

    def items(self) -> Iterator[Any]:
        pairs = self._pairs()
        self._buffer += islice(pairs, self._held)
        stage, changed = self._stage, self._changed
        for held in shuffle_items(pairs, stage.bufsize, stage.initial, self._rng, self._buffer, changed):
            self._latest = held
            yield held if isinstance(held, Sample) else held[0]

    def _pairs(self) -> Iterator[Held]:
        source = self._source
        lineage = source.lineage
        for item in source:
            if isinstance(item, Sample):
                yield item
                continue
            self._pairs_in = True
            yield (item, lineage()) if type(item) is tuple else (item, trace_of(item, source))

    def number_held(self) -> int:
        return len(self._buffer)

    def lineage(self) -> tuple[SampleTrace, ...]:
        return self._traces(self._latest)

    def state(self) -> dict[str, Any]:
        """The random numbers to come, and what is in the buffer."""
        if self._pairs_in or not self._buffer:
            held = [held if isinstance(held, Sample) else held[1] for held in self._buffer]
            return {"rng": pack_rng(self._rng), "held": held}
        if self._samples is None:
            self._samples = HeldSamples(self._buffer, self._changed)
        return {"rng": pack_rng(self._rng), "held": self._samples}

    def _traces(self, held: Held) -> tuple[SampleTrace, ...]:
        return trace_of(held, self._source) if isinstance(held, Sample) else held[1]


class ShuffleStream(ResumableStageStream):
    """One that tells how much it holds."""

    def __init__(self, run: ShuffleRun, source: Stream) -> None:
        super().__init__(StageStream(run.items, source, run.lineage), run.state)
        self.number_held = run.number_held


@dataclass
class detshuffle(PipelineStage):  # noqa: N801 - WebDataset's name
    """A shuffle with the order of `Random(seed + epoch)`; each `run` is the next epoch. In a dataset its epoch is added."""

    one_to_one: ClassVar[bool] = True
    gives_what_it_takes: ClassVar[bool] = True
    counts_marks: ClassVar[bool] = True
    bufsize: int = 1000
    initial: int = 100
    seed: int = 0
    epoch: int = -1

    def __post_init__(self) -> None:
        self.seed = checks.whole("detshuffle: seed", self.seed)
        self.epoch = checks.whole("detshuffle: epoch", self.epoch)
        self.bufsize = _size("detshuffle: bufsize", self.bufsize)
        self.initial = _size("detshuffle: initial", self.initial)

    def run(self, src: Iterable[T]) -> Iterator[T]:
        self.epoch += 1
        return Shuffle(self.bufsize, self.initial, seed=self.seed + self.epoch)(src)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        return self._shuffle().open(source, context)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        return self._shuffle().reopen(source, context, state)

    def _shuffle(self) -> Shuffle:
        return Shuffle(self.bufsize, self.initial, seed=self.seed + self.epoch + 1)


def shuffle(
    bufsize: int = 1000,
    initial: int = 100,
    rng: Random | None = None,
    seed: int | None = None,
    handler: Handler | None = None,  # WebDataset's; nothing in a shuffle can fail
) -> Shuffle:
    """Shuffles in a buffer of `bufsize` samples, giving out from the time `initial` are in."""
    checks.function("shuffle: handler", handler, optional=True, takes=1)
    return Shuffle(bufsize, initial, rng, seed)
