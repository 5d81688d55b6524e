"""The questions: what is read, how, by whom; and who is not asked, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from asyncwds.testing import BAD_DAY
from bench.field import contenders as who
from bench.field import worlds
from bench.field.contenders import Contender, without
from bench.harness import Size

Open = Callable[[Path, Size], AbstractContextManager[Mapping[str, Any]]]


@dataclass(frozen=True)
class Question:
    """`how` says what is done, for the page; `limit` [s] ends a run; `absent` are reasons of peers that are not asked.

    `columns` are figures of `bench.field.figures`, and `plot` the one to draw. One of `every` samples is hashed.
    """

    title: str
    how: str
    kind: str
    open: Open
    contenders: Mapping[str, Contender]
    columns: Sequence[str]
    plot: str
    consume: str = "samples"
    limit: float = 3.0
    again: bool = False
    every: int = 1
    absent: Mapping[str, str] = field(default_factory=dict)


def _local(kind: str) -> Open:
    return lambda home, size: nullcontext(worlds.local(home, kind, size))


def _served(kind: str, **link: Any) -> Open:
    return partial(_serve, kind, link)


def _serve(kind: str, link: Mapping[str, Any], home: Path, size: Size) -> AbstractContextManager[Mapping[str, Any]]:
    return worlds.served(home, kind, size, **link)


STREAM_COLUMNS = ("mb_per_second", "cpu_per_gb", "server_share", "first_ms", "peak_mb")


def _stream(title: str, how: str, kind: str = "middle", *, ray: bool = True, **link: Any) -> Question:
    contenders, absent = (who.STREAMS, who.NOT_STREAMS) if ray else (without(who.STREAMS, "ray"), {**who.NOT_STREAMS, **who.NO_RAY})
    if not link:  # where one connection is as fast as many, fewer whole shards at once come sooner
        contenders = {**contenders, "SPDL": Contender("spdl", "samples", {"connections": 4})}
    return Question(title, how, kind, _served(kind, **link), contenders, STREAM_COLUMNS, "mb_per_second", limit=6.0, absent=absent)


QUESTIONS: Mapping[str, Question] = {
    "loopback": _stream("A link without limits", "1 GB in 16 shards, samples of 110 KB, over loopback HTTP: only the work counts."),
    "bucket": _stream(
        "A bucket", "The same, 50 ms to the first byte, 40 MB/s for each of 16 connections.", first_byte=0.05, rate=40e6
    ),
    "far": _stream(
        "A bucket far away",
        "The same, 200 ms to the first byte, 20 MB/s for each of 16 connections.",
        first_byte=0.2,
        rate=20e6,
        ray=False,
    ),
    "large": _stream("Large samples", "0.5 GB in 8 shards, samples of 2 MB, over loopback HTTP.", kind="large", ray=False),
    "little": Question(
        "Small samples",
        "Two fields of 200 bytes, from local files in the page cache, epoch after epoch for 3 s.",
        "little",
        _local("little"),
        {
            "asyncwds": Contender("asyncwds", "samples"),
            "webdataset": Contender("webdataset", "samples"),
            "webdataset, 2 workers": Contender("webdataset", "samples", {"workers": 2}),
            "SPDL": Contender("spdl", "samples"),
            "LitData": Contender("litdata", "samples"),
            "MosaicML": Contender("mosaicml", "samples"),
            "Ray Data": Contender("ray", "samples"),
            "torch DataLoader": Contender("torch", "samples"),
        },
        ("samples_per_second", "us_per_sample", "peak_mb"),
        "samples_per_second",
        again=True,
        every=64,
        absent={"datago": who.ONLY_IMAGES},
    ),
    "first_batch": Question(
        "The first batch",
        "64 JPEGs as one array, from a bucket with 50 ms to the first byte: from the start of the process (cold, imports and all), "
        "and of the second epoch in it (warm).",
        "photos",
        _served("photos", first_byte=0.05, rate=40e6),
        without(who.IMAGES, "bare", "ray"),
        ("cold_ms", "warm_ms"),
        "cold_ms",
        consume="twice",
        absent=who.NO_RAY,
    ),
    "images": Question(
        "JPEGs to batches",
        "Photos of 500 x 400 pixels over loopback HTTP to batches of 64 x 400 x 500 x 3 bytes, for 5 s; each by its own decoder.",
        "photos",
        _served("photos"),
        who.IMAGES,
        ("samples_per_second", "cpu_per_thousand", "server_share", "first_ms", "peak_mb"),
        "samples_per_second",
        consume="batches",
        limit=5.0,
    ),
    "crops": Question(
        "Random crops",
        "The same photos from local files to random crops of 224 x 224, as RandomResizedCrop and a flip make them, for 3 s; "
        "asyncwds in a process that has imported torch, which then resizes, and in one that has not.",
        "photos",
        _local("photos"),
        {
            "asyncwds": Contender("asyncwds", "crops", {"resampler": "auto"}),
            "asyncwds, no torch": Contender("asyncwds", "crops", {"resampler": "pillow"}),
            "webdataset": Contender("webdataset", "crops"),
            "SPDL": Contender("spdl", "crops"),
            "torch DataLoader": Contender("torch", "crops"),
        },
        ("samples_per_second", "cpu_per_thousand", "first_ms", "peak_mb"),
        "samples_per_second",
        consume="batches",
        again=True,
        absent={
            "LitData": who.OWN_TRANSFORM,
            "MosaicML": who.OWN_TRANSFORM,
            "Ray Data": who.OWN_TRANSFORM,
            "datago": "crops to buckets of aspect ratios, not at random",
            "bare download": who.NO_LOADER,
        },
    ),
    "neighbour": Question(
        "A noisy neighbour",
        "Batches of photos from local files, and after each a step of the training that holds the interpreter for a fixed amount "
        "of work: the median step over that beside a batch which is there already.",
        "photos",
        _local("photos"),
        {
            "nothing beside it": Contender("bare", "still"),
            "asyncwds, threads": Contender("asyncwds", "batches"),
            "asyncwds, loader": Contender("asyncwds", "batches_by_loader", {"processes": 1, "threads": 1}),
            "webdataset": Contender("webdataset", "batches", {"workers": 1}),
            "SPDL": Contender("spdl", "batches", {"threads": 1}),
            "torch DataLoader": Contender("torch", "batches", {"workers": 1}),
            "LitData": Contender("litdata", "batches", {"workers": 1}),
            "MosaicML": Contender("mosaicml", "batches", {"workers": 1}),
        },
        ("step_ms", "slower"),
        "slower",
        consume="work",
        again=True,
        absent={**who.NO_RAY, "datago": "reads shards by urls only"},
    ),
    "scaling": Question(
        "Threads and processes",
        "JPEGs to batches as above, from local files, by one and two threads or processes; the machine has no more cores.",
        "photos",
        _local("photos"),
        who.SCALED,
        ("samples_per_second", "cpu_per_thousand", "peak_mb"),
        "samples_per_second",
        consume="batches",
        limit=2.5,
        again=True,
        absent={
            "datago": "takes all cores",
            "Ray Data": "takes all cores",
            "LitData": who.HANDS_OVER_BY_TORCH,
            "MosaicML": who.HANDS_OVER_BY_TORCH,
        },
    ),
    "bad_day": Question(
        "A bad day",
        "1 GB, 20 ms to the first byte, 20 MB/s for each of 16 connections; 1 % of the requests are reset, 0.5 % stall, 0.5 % are "
        "refused, and some answer up to 2 s late. What is not there after 10 s counts as lost, and so does what an error ended. "
        "The fewer requests a loader makes, the fewer faults it meets.",
        "middle",
        _served("middle", rate=20e6, weather={**BAD_DAY, "seed": 1}),
        {
            name: replace(each, options={**each.options, "may_lose": True})
            for name, each in without(who.STREAMS, "bare", "ray").items()
        },
        ("had", "mb_per_second"),
        "had",
        limit=10.0,
        absent={**who.NOT_STREAMS, **who.NO_RAY, "bare download": "ends with the first fault"},
    ),
    "hand_over": Question(
        "Hand-over between processes",
        "Batches of 64 x 3 x 224 x 224 bytes that are there already, from another process, cut into 1, 4, 16 and 64 fields, "
        "for 1.5 s.",
        "little",
        _local("little"),
        who.HANDED,
        ("gb_per_second", "batches_per_second"),
        "gb_per_second",
        consume="fields",
        limit=1.5,
        absent={
            "webdataset": who.HANDS_OVER_BY_TORCH,
            "LitData": who.HANDS_OVER_BY_TORCH,
            "MosaicML": who.HANDS_OVER_BY_TORCH,
            "datago": who.IN_ONE_PROCESS,
            "Ray Data": "hands over blocks of its object store, not batches of the user's",
        },
    ),
}
