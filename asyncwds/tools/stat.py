"""`stat`: how many samples, which fields and how large, how even the shards are; and what the images measure."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np

from asyncwds import checks
from asyncwds.codecs.images import IMAGE_EXTENSIONS
from asyncwds.errors import SampleError
from asyncwds.index.finding import find_index
from asyncwds.index.index import ShardIndex
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import select
from asyncwds.tools.each_shard import of_each_shard
from asyncwds.tools.inputs import Inputs, read_raw
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection

_QUANTILES = {"min": 0.0, "median": 0.5, "p95": 0.95, "max": 1.0}


@dataclass
class Statistics:
    """samples      in all
    shards       of each: url, samples, bytes (None where that is not known), and whether it is compressed
    fields       of each: in how many samples, bytes in all, and their min, median, p95, max, mean
    field_sets   which fields samples have together, and how many have them; of more than 20 sets the most frequent
    images       with `deep`, of each field: how many were looked at, formats, modes, and widths and heights as for sizes
    damaged      errors that were passed over: samples behind them may be missing
    """

    samples: int = 0
    shards: list[dict[str, Any]] = field(default_factory=list)
    fields: dict[str, dict[str, float]] = field(default_factory=dict)
    field_sets: dict[str, int] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)


def stat_shards(inputs: Inputs, selection: Selection | None = None, *, deep: int = 0, jobs: int = 1) -> Statistics:
    """By the index where there is one, else by headers alone; compressed shards are read whole.

    selection   these samples and fields only: shards have their bytes then, those of headers too, as with `inputs.on_error`
                "skip"
    deep   open the images of so many samples, from the first on
    jobs   so many processes look at a shard each

    Raises SpecError, FetchError, TarError, and SampleError for an image that is none.
    """
    checks.whole("deep", deep, 0)
    checks.whole("jobs", jobs, 1)
    found, selection = _Found(), selection or Selection()
    if jobs == 1:
        found = _look(inputs, selection)
    else:
        with closing(of_each_shard(_look, inputs, selection, jobs)) as each:
            for one in each:
                found.add(one)
    return Statistics(
        samples=found.sets.total(),
        shards=found.shards,
        fields={name: {"samples": len(values), **_described(values)} for name, values in sorted(found.sizes.items())},
        field_sets={" ".join(names): count for names, count in found.sets.most_common(20)},
        images=_images(inputs, selection, deep) if deep else {},
        damaged=found.damaged,
    )


@dataclass
class _Found:
    """Of shards: what they are, the sizes of each field, and how many samples have which fields."""

    shards: list[dict[str, Any]] = field(default_factory=list)
    sizes: dict[str, array[int]] = field(default_factory=dict)
    sets: Counter[tuple[str, ...]] = field(default_factory=Counter)
    damaged: list[str] = field(default_factory=list)

    def see(self, sample: Sequence[tuple[str, int]]) -> None:
        """Fields with their sizes."""
        self.sets[tuple([name for name, _ in sample])] += 1
        for name, size in sample:
            self.sizes.setdefault(name, array("q")).append(size)

    def add(self, other: _Found) -> None:
        self.shards += other.shards
        for name, values in other.sizes.items():
            self.sizes.setdefault(name, array("q")).extend(values)
        self.sets.update(other.sets)
        self.damaged += other.damaged


def _look(inputs: Inputs, selection: Selection) -> _Found:
    is_whole = selection.is_everything and inputs.on_error == "fail"  # of a damaged shard there is no index
    return _look_at_all(inputs) if is_whole else _look_at_some(inputs, selection)


def _look_at_some(inputs: Inputs, selection: Selection) -> _Found:
    report = Report()
    shards: list[dict[str, Any]] = [{"url": url, "samples": 0, "bytes": 0, "compressed": False} for url in inputs.shards()]
    found = _Found(shards, damaged=report.damaged)
    with closing(select(inputs, selection, report)) as samples:
        for sample in samples:
            shards[sample.shard]["samples"] += 1
            shards[sample.shard]["bytes"] += sample.nbytes
            found.see([(member.field, member.size) for member in sample.members])
    return found


def _look_at_all(inputs: Inputs) -> _Found:
    found = _Found()
    for shard in find_index(inputs.shards(), inputs.access, inputs.cache).shards:
        described = {"url": shard.url, "samples": shard.samples, "bytes": shard.size, "compressed": shard.packed is None}
        found.shards.append(described)
        for sample in _samples(shard, inputs, found.damaged):
            found.see(sample)
    return found


def _samples(shard: ShardIndex, inputs: Inputs, damaged: list[str]) -> Iterator[list[tuple[str, int]]]:
    """Fields with their sizes."""
    if shard.packed is not None:
        for row in shard.rows():
            yield [(each.suffix.lower(), each.size) for each in row.fields]
        return
    with closing(read_raw(replace(inputs, urls=[shard.url], part=None), Report(damaged=damaged))) as samples:
        for sample in samples:
            yield [(member.field, member.size) for member in sample.members]


def _described(values: Iterable[int]) -> dict[str, float]:
    numbers = np.fromiter(values, np.int64)
    quantiles = np.quantile(numbers, list(_QUANTILES.values()), method="nearest")
    named = {name: int(value) for name, value in zip(_QUANTILES, quantiles, strict=True)}
    return {"bytes": int(numbers.sum()), "mean": float(numbers.mean()), **named}


def _images(inputs: Inputs, selection: Selection, deep: int) -> dict[str, dict[str, Any]]:
    seen: dict[str, list[tuple[str, str, int, int]]] = {}
    with closing(select(inputs, selection, Report())) as samples:
        for _, sample in zip(range(deep), samples, strict=False):
            for name, about in _opened(sample):
                seen.setdefault(name, []).append(about)
    return {name: _measured(found) for name, found in sorted(seen.items())}


def _opened(sample: RawSample) -> Iterator[tuple[str, tuple[str, str, int, int]]]:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - heavy

    for name, member in sample.fields().items():
        if name.rpartition(".")[2] not in IMAGE_EXTENSIONS:
            continue
        try:
            with Image.open(BytesIO(member.read())) as image:
                yield name, (image.format or "", image.mode, image.width, image.height)
        except UnidentifiedImageError as error:  # whose message has the address of a buffer
            raise SampleError(f"the field {name} is no image that is known", url=sample.url, key=sample.key) from error
        except (OSError, ValueError, SyntaxError) as error:
            raise SampleError(f"the field {name} is no sound image: {error}", url=sample.url, key=sample.key) from error


def _measured(found: list[tuple[str, str, int, int]]) -> dict[str, Any]:
    formats, modes, widths, heights = zip(*found, strict=True)
    without = ("bytes",)
    return {
        "images": len(found),
        "formats": dict(Counter(formats)),
        "modes": dict(Counter(modes)),
        "width": {name: value for name, value in _described(widths).items() if name not in without},
        "height": {name: value for name, value in _described(heights).items() if name not in without},
    }
