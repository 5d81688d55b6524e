"""The stage that keeps a range of the items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from asyncwds.errors import SpecError
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage_run import run_alone
from asyncwds.pipeline.streams import StageStream

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slice:
    """`itertools.islice`: (stop), (start, stop) or (start, stop, step)."""

    bounds: tuple[int | None, ...]

    def __post_init__(self) -> None:
        try:
            islice((), *self.bounds)
        except (TypeError, ValueError) as error:
            raise SpecError(f"slice{self.bounds!r}: {error}") from error

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:  # noqa: ARG002 - the protocol
        return StageStream(lambda: islice(source, *self.bounds), source)


def slice(*bounds: int | None) -> Slice:  # noqa: A001 - WebDataset's name
    return Slice(bounds)
