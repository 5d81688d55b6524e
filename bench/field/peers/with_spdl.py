"""SPDL: threads whose steps are the user's own: shards by aiohttp, members by `iter_tarfile`, images by its FFmpeg."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import spdl.io
from spdl.io import iter_tarfile
from spdl.pipeline import PipelineBuilder, iterate_in_subprocess

from bench.field.peers.again import Again
from bench.field.peers.made_batches import MadeBatches
from bench.field.peers.random_crop import SIZE, window
from bench.harness import World


async def _fetch(url: str) -> bytes:
    if "://" not in url:
        return Path(url).read_bytes()  # noqa: ASYNC240 - it has a thread for nothing else
    async with aiohttp.ClientSession(read_bufsize=1 << 18) as session, session.get(url) as answer:
        answer.raise_for_status()
        return await answer.read()


def _grouped(shard: Any) -> Iterator[dict[str, Any]]:
    """Members of one key after another make a sample, as its example of a pipeline for WebDataset has it."""
    key = None
    sample: dict[str, Any] = {}
    for name, data in iter_tarfile(shard):
        stem, _, field = name.partition(".")
        if stem != key and sample:
            yield sample
            sample = {}
        key = stem
        sample[field] = bytes(data)
    if sample:
        yield sample


def samples(world: World) -> Iterable[Any]:
    return Again(partial(_local if world.get("local") else _streamed, world))


def _local(world: World) -> Iterator[Any]:
    for path in world["urls"]:
        with open(path, "rb") as file:  # noqa: PTH123 - as its documentation has it
            yield from _grouped(file)


def _streamed(world: World) -> Iterator[Any]:
    pipeline = (
        PipelineBuilder()
        .add_source(world["urls"])
        .pipe(_fetch, concurrency=world["connections"], output_order="input")
        .add_sink(2)
        .build(num_threads=2)
    )
    with pipeline.auto_stop():
        for shard in pipeline:
            yield from _grouped(shard)


def _images(world: World, decode: Callable[[list[bytes]], Any]) -> Iterator[Any]:
    def encoded(shard: bytes) -> Iterator[bytes]:
        for name, data in iter_tarfile(shard):
            if name.endswith(".jpg"):
                yield bytes(data)

    threads = world.get("threads", 2)
    pipeline = (
        PipelineBuilder()
        .add_source(world["urls"])
        .pipe(_fetch, concurrency=2)
        .pipe(encoded)
        .aggregate(world["batch"])
        .pipe(decode, concurrency=threads)
        .add_sink(2)
        .build(num_threads=threads + 1)
    )
    with pipeline.auto_stop():
        yield from pipeline


def batches(world: World) -> Iterable[Any]:
    def decode(encoded: list[bytes]) -> Any:
        return spdl.io.to_numpy(spdl.io.load_image_batch(encoded, width=None, height=None, pix_fmt="rgb24"))

    return Again(partial(_images, world, decode))


def crops(world: World) -> Iterable[Any]:
    random = Random(0)

    def crop(data: bytes) -> Any:
        packets = spdl.io.demux_image(data)
        left, top, width, height = window(world["width"], world["height"], random)
        flip = ",hflip" if random.random() < 0.5 else ""
        how = f"crop={width}:{height}:{left}:{top},scale={SIZE}:{SIZE}:flags=bilinear{flip},format=pix_fmts=rgb24"
        return spdl.io.decode_packets(packets, filter_desc=how)

    def decode(encoded: list[bytes]) -> Any:
        return spdl.io.to_numpy(spdl.io.convert_frames([crop(data) for data in encoded]))

    return Again(partial(_images, world, decode))


def fields(world: World) -> Iterable[Any]:
    make = partial(MadeBatches, world["number"], world["fields"])
    return iterate_in_subprocess(make, mp_context="fork")  # type: ignore[no-any-return]
