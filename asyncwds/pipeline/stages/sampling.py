"""The stage that keeps samples by chance."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, TypeVar

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream, pack_rng, restore_rng
from asyncwds.pipeline.lineage import samples_in
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.runtime.worker_info import checked_seed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rsample:
    """Keeps each item with probability `p`.

    In a dataset the choice follows its seed, epoch and place. With a seed of its own it is, in epoch 0, WebDataset's after
    `random.seed(seed)`; used by itself without a seed it draws from Python's global `random`, as there.
    """

    gives_what_it_takes: ClassVar[bool] = True
    counts_marks: ClassVar[bool] = True
    chooses_by_chance: ClassVar[bool] = True
    p: float = 0.5
    seed: int | None = None
    rng: Random | None = None

    def __post_init__(self) -> None:
        checks.real("rsample: p", self.p, 0, 1)
        object.__setattr__(self, "seed", checked_seed("rsample", self.seed, self.rng))

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        rng: Any = self.rng or (random if self.seed is None else Random(self.seed))  # noqa: S311 - no secret
        draw, p = rng.random, self.p
        return (item for item in source if draw() < p)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        return self._stream(source, self.rng or context.rng(self.seed), context)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        rng = self.rng or context.rng(self.seed)
        try:
            known: Any = state
            restore_rng(rng, known["rng"])
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"not the state of an rsample: {show_value(state)}") from error
        return self._stream(source, rng, context)

    def _stream(self, source: Stream, rng: Random, context: RunContext) -> ResumableStream:
        stream = StageStream(lambda: self._kept(source, rng, context), source)
        return ResumableStageStream(stream, lambda: {"rng": pack_rng(rng)})

    def _kept(self, source: Stream, rng: Random, context: RunContext) -> Iterator[Any]:
        draw, p, tally = rng.random, self.p, context.counters.tally
        for item in source:
            if draw() < p:
                yield item
            else:
                tally.drop("rsample", samples_in(item, source))


def rsample(p: float = 0.5, *, seed: int | None = None, rng: Random | None = None) -> Rsample:
    """Keeps each sample with probability `p`."""
    return Rsample(p, seed, rng)
