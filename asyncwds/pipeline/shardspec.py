"""The list of shards that a spec of data sets stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asyncwds.pipeline.shardlists import Item, SimpleShardList
from asyncwds.runtime.torch_iterable import TorchIterable
from asyncwds.runtime.worker_info import WorkerInfo, dataset_seed
from asyncwds.shards.specs import all_urls, sampled, sources_of
from asyncwds.shards.urls import is_spec


@TorchIterable.register
class MultiShardSample:
    """The shards of a spec: a path of a YAML file, or what such a file holds, as a dict.

    Each iteration gives the shards of an epoch, all data sets shuffled together, which depend on `set_epoch` (or on the
    seed and epoch of the pipeline) only, so that they can be split between ranks. For an epoch they are WebDataset's.
    Raises SpecError for a spec that makes no sense, and without the extra `yaml` for a file.
    """

    def __init__(self, fname: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        self.parse_spec(fname)
        self._seed = dataset_seed(None)
        self._epoch: int | None = None

    def parse_spec(self, fname: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        """Takes the shards of another spec."""
        self.sources = sources_of(fname)

    def set_epoch(self, seed: int) -> None:
        """What the order and the choice depend on from now on. To be called alike on every rank."""
        self._epoch = seed

    def get_shards_for_epoch(self) -> list[str]:
        """The urls of the epoch in order."""
        return self._urls(self._seed if self._epoch is None else self._epoch)

    def __iter__(self) -> Iterator[Item]:
        return ({"url": url} for url in self.get_shards_for_epoch())

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> list[Item]:  # noqa: ARG002 - the interface
        return [{"url": url} for url in self._urls((seed if self._epoch is None else self._epoch) + epoch)]

    def urls(self) -> Sequence[str]:
        """Of all shards of which some are chosen."""
        return all_urls(self.sources)

    def _urls(self, seed: int) -> list[str]:
        urls = all_urls(self.sources)
        return [urls[index] for index in sampled(self.sources)(len(urls), seed, 0, WorkerInfo())]

    def __repr__(self) -> str:
        return f"MultiShardSample({', '.join(source.name for source in self.sources)})"


def shardspec(spec: str) -> MultiShardSample | SimpleShardList:
    """The shards of a YAML file (`.yaml`, `.yml`), or of a pattern."""
    return MultiShardSample(spec) if is_spec(spec) else SimpleShardList(spec)
