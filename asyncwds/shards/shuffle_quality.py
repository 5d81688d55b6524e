"""How well a stream is shuffled: how far samples that come one after the other were apart in the shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean, median

WINDOW = 256  # samples in a row that are looked at as a batch

# The median distance of two points drawn from [0, 1), whose density is 2(1 - d).
RANDOM_DISTANCE = 1 - 0.5**0.5


@dataclass(frozen=True)
class ShuffleQuality:
    """Of one order of samples, with what a random order of the same samples has.

    `same_shard` is the share of neighbours that were in one shard, and `apart` how many samples these were apart there
    [median]; `distance` of all neighbours is a share of the data set, its shards laid end to end in the order of the urls [median];
    `shards_in_window` counts the shards of `WINDOW` samples in a row [mean].
    """

    samples: int
    same_shard: float
    same_shard_random: float
    apart: float | None
    distance: float
    distance_random: float
    shards_in_window: float
    shards_in_window_random: float


def measure_shuffle(places: Sequence[tuple[int, int]]) -> ShuffleQuality | None:
    """Of (shard, ordinal) of each sample, in the order in which they came; None of fewer than two."""
    if len(places) < 2:
        return None
    counts = _samples_by_shard(places)
    starts = dict(zip(counts, accumulate(counts.values(), initial=0), strict=False))
    whole = sum(counts.values())
    positions = [starts[shard] + ordinal for shard, ordinal in places]
    within = [abs(a[1] - b[1]) for a, b in pairwise(places) if a[0] == b[0]]
    window = min(WINDOW, len(places))
    seen = [len({shard for shard, _ in places[at : at + window]}) for at in range(0, len(places) - window + 1, window)]
    return ShuffleQuality(
        samples=len(places),
        same_shard=len(within) / (len(places) - 1),
        same_shard_random=sum(n * (n - 1) for n in counts.values()) / max(1, whole * (whole - 1)),
        apart=median(within) if within else None,
        distance=median([abs(a - b) for a, b in pairwise(positions)]) / whole,
        distance_random=RANDOM_DISTANCE,
        shards_in_window=fmean(seen),
        shards_in_window_random=sum(1 - (1 - n / whole) ** window for n in counts.values()),
    )


def _samples_by_shard(places: Sequence[tuple[int, int]]) -> dict[int, int]:
    """As far as the samples tell: the last of each shard that came, in the order of the urls."""
    counts: dict[int, int] = {}
    for shard, ordinal in places:
        counts[shard] = max(counts.get(shard, 0), ordinal + 1)
    return dict(sorted(counts.items()))
