"""What `asyncwds bench --shuffle` shows: how well each setting shuffles, and what it holds for that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from asyncwds.cli.reading import Sources, dataset, progress
from asyncwds.formatting.texts import size
from asyncwds.shards.shuffle_quality import WINDOW, ShuffleQuality, measure_shuffle

if TYPE_CHECKING:
    from asyncwds.pipeline.dataset import WebDataset


@dataclass(frozen=True)
class ShuffleSetting:
    """`buffer` samples of `shuffle`, and so many shards in rotation; the shards themselves are shuffled or in order."""

    buffer: int
    interleave: int
    shards: bool

    def __str__(self) -> str:
        return f"shards {'shuffled' if self.shards else 'in order'}, buffer {self.buffer}, interleave {self.interleave}"


@dataclass(frozen=True)
class ShuffleRow:
    """What a setting gave. `buffered` are the bytes of the samples in a full buffer, `prefetched` the most that were read ahead."""

    setting: ShuffleSetting
    quality: ShuffleQuality | None
    buffered: int
    prefetched: int


def shuffle_settings(buffers: Sequence[int], interleaves: Sequence[int], *, shards: bool) -> list[ShuffleSetting]:
    return [ShuffleSetting(buffer, shared, shards) for buffer, shared in product(buffers or [0], interleaves or [1])]


def measure_settings(
    settings: Iterable[ShuffleSetting], urls: Iterable[str], sources: Sources, connections: int | None, samples: int | None
) -> Iterator[ShuffleRow]:
    """Reads the shards once for each setting."""
    for setting in settings:
        shards = dataset(urls, sources, connections, setting.interleave, shuffle_shards=setting.shards)
        yield _measured(setting, shards, samples)


def _measured(setting: ShuffleSetting, shards: WebDataset, samples: int | None) -> ShuffleRow:
    shuffled = shards.shuffle(setting.buffer, initial=setting.buffer)
    some = shuffled if samples is None else shuffled.slice(samples)
    places, held = [], 0
    for sample in progress(iter(some), some.stats, label=str(setting), total=samples):
        places.append(sample.origin[:2])
        held += sum([len(value) for value in sample.values() if isinstance(value, bytes)])
    mean = held / max(1, len(places))
    buffered = int(mean * min(setting.buffer, len(places)))
    return ShuffleRow(setting, measure_shuffle(places), buffered, some.stats().buffered_peak)


def as_numbers(row: ShuffleRow) -> dict[str, Any]:
    quality = asdict(row.quality) if row.quality else {}
    return {**asdict(row.setting), **quality, "buffered": row.buffered, "prefetched": row.prefetched}


def as_text(row: ShuffleRow) -> str:
    holds = f"  holds          {size(row.buffered)} in the buffer, {size(row.prefetched)} read ahead"
    return "\n".join([str(row.setting), *_measures(row.quality), holds])


def _measures(quality: ShuffleQuality | None) -> list[str]:
    if quality is None:
        return ["  fewer than two samples"]
    apart = "" if quality.apart is None else f", {quality.apart:.0f} samples apart there"
    return [
        f"  same shard     {quality.same_shard:.1%} of neighbours ({quality.same_shard_random:.1%} in a random order){apart}",
        f"  distance       {quality.distance:.1%} of the data set ({quality.distance_random:.1%})",
        f"  batch of {WINDOW:<5} {quality.shards_in_window:.1f} shards ({quality.shards_in_window_random:.1f})",
    ]
