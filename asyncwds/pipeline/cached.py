"""A stage that keeps what passed through it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from asyncwds.pipeline.stage import PipelineStage
from asyncwds.runtime.worker_info import WorkerInfo


class Cached(PipelineStage):
    """Keeps the samples of its first complete pass, and gives them in all later ones, in the same order.

    A pass that was left early keeps nothing. In a dataset each place (rank and worker) has samples of its own, as each reads
    other shards. Datasets that share this object share what it keeps; a pickled one begins empty. Samples that are dicts
    or lists are given out as shallow copies, so that later stages may change them.
    """

    def __init__(self) -> None:
        self._kept: dict[WorkerInfo | None, list[Any]] = {}
        self._place: WorkerInfo | None = None

    def run(self, src: Iterable[Any]) -> Iterator[Any]:
        return (_copy(sample) for sample in self._kept[self._place]) if self.is_complete() else self._recorded(src)

    def is_complete(self) -> bool:
        """Whether a pass at this place was complete: then the source is not needed."""
        return self._place in self._kept

    @property
    def cached(self) -> list[Any] | None:
        """The samples that are kept for this place; None before a pass was complete."""
        return self._kept.get(self._place)

    def _recorded(self, src: Iterable[Any]) -> Iterator[Any]:
        samples = []
        for sample in src:
            samples.append(_copy(sample))
            yield sample
        self._kept[self._place] = samples

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> Cached:  # noqa: ARG002 - the interface
        """This stage as it runs at a place; what it keeps is kept here."""
        at_place = Cached()
        at_place._kept, at_place._place = self._kept, place
        return at_place

    def __reduce__(self) -> tuple[Any, ...]:
        return Cached, ()

    def __repr__(self) -> str:
        return "Cached()"


def _copy(sample: Any) -> Any:
    return sample.copy() if isinstance(sample, (dict, list)) else sample
