"""A stage that keeps what passed through it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from asyncwds.pipeline.context import RunContext, StageStream
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage import PipelineStage
from asyncwds.runtime.worker_info import WorkerInfo


class Cached(PipelineStage):
    """Keeps the samples of its first complete pass, and gives them in all later ones, in the same order.

    A pass that was left early keeps nothing. In a dataset each place (rank and worker) has samples of its own, as each reads
    other shards. Datasets that share this object share what it keeps; a pickled one begins empty. Samples that are dicts
    or lists are given out as shallow copies, so that later stages may change them.
    """

    def __init__(self) -> None:
        self._kept: dict[WorkerInfo | None, list[Any]] = {}  # None is outside of datasets
        self._epochs: dict[WorkerInfo | None, int] = {}  # of the passes that are kept

    def run(self, src: Iterable[Any]) -> Iterator[Any]:
        return self._items(src, None)

    def open(self, source: Stream, context: RunContext) -> Stream:
        return StageStream(lambda: self._items(source, context.worker_info, context.epoch), source)

    def replays(self, context: RunContext) -> bool:
        return context.worker_info in self._kept

    def made_in(self, context: RunContext) -> int | None:
        return self._epochs.get(context.worker_info)

    def is_complete(self) -> bool:
        """Whether a pass was complete outside of datasets: then the source is not needed."""
        return None in self._kept

    @property
    def cached(self) -> list[Any] | None:
        """The samples that are kept outside of datasets; None before a pass was complete."""
        return self._kept.get(None)

    def _items(self, src: Iterable[Any], place: WorkerInfo | None, epoch: int = 0) -> Iterator[Any]:
        return map(_copy, self._kept[place]) if place in self._kept else self._recorded(src, place, epoch)

    def _recorded(self, src: Iterable[Any], place: WorkerInfo | None, epoch: int) -> Iterator[Any]:
        samples = []
        for sample in src:
            samples.append(_copy(sample))
            yield sample
        self._kept[place] = samples
        self._epochs[place] = epoch

    def __reduce__(self) -> tuple[Any, ...]:
        return Cached, ()

    def __repr__(self) -> str:
        return "Cached()"


def _copy(sample: Any) -> Any:
    return sample.copy() if isinstance(sample, (dict, list)) else sample
