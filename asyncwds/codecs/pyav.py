"""Video and audio through PyAV, which brings its own FFmpeg."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from asyncwds.codecs.video_types import Clip, Sampling, Sound, VideoRequest, require_room
from asyncwds.runtime.extras import require_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

Timed = tuple[float, Any]  # when a frame is shown [s], and the frame


@dataclass(frozen=True, slots=True)
class VideoExtent:
    """Of a video: how many frames, shown from when to when [s], how many a second."""

    count: int
    begin: float
    end: float
    fps: float


def read_video(data: bytes, request: VideoRequest) -> Clip:
    """Raises what PyAV raises, and ValueError for a video that is cut, has no frames, or needs more memory than allowed."""
    with open_container(data) as container:
        extent = _extent(container)
    with open_container(data) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1  # samples are decoded side by side, not slices of one
        return _make_clip(_chosen(_add_times(container.decode(stream), extent.fps), request.sampling, extent), request, extent)


def read_audio(data: bytes, max_bytes: int) -> Sound | None:
    """The first audio stream; None if there is none."""
    with open_container(data) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        resampler = require_extra("av", "video").AudioResampler(format="fltp")
        pieces: list[NDArray[np.float32]] = [np.zeros((stream.channels, 0), np.float32)]
        size = 0
        for frame in chain(container.decode(stream), [None]):  # None gives out what the resampler holds
            converted = [part.to_ndarray() for part in resampler.resample(frame)]
            size += sum(part.nbytes for part in converted)
            require_room(size, max_bytes)
            pieces += converted
        return Sound(np.concatenate(pieces, axis=1), stream.rate)


def open_container(data: bytes) -> Any:
    av = require_extra("av", "video")
    # Titles in Latin-1 are common. From version 19 on PyAV takes them by itself, and has no such argument.
    lenient = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    # What looks like a video may be a playlist of files and addresses. Without protocols FFmpeg opens nothing but these bytes.
    return av.open(BytesIO(data), options={"protocol_whitelist": "none"}, **lenient)


def _extent(container: Any) -> VideoExtent:
    """From the packets, which costs little: headers are missing or wrong often enough."""
    if not container.streams.video:
        raise ValueError("there is no video in it")
    stream = container.streams.video[0]
    fps = float(stream.average_rate or stream.base_rate or 25)
    packets = [packet for packet in container.demux(stream) if packet.size]
    if any(packet.is_corrupt for packet in packets):
        raise ValueError("the video is cut or corrupt")
    if not packets or any(packet.pts is None for packet in packets):  # raw streams have no times
        return VideoExtent(len(packets), 0.0, len(packets) / fps, fps)
    last = max(packets, key=lambda packet: packet.pts)
    begin = min(packet.pts for packet in packets) * stream.time_base
    end = (last.pts + (last.duration or 0)) * stream.time_base
    return VideoExtent(len(packets), float(begin), float(end) if last.duration else float(end) + 1 / fps, fps)


def _add_times(frames: Iterable[Any], fps: float) -> Iterator[Timed]:
    for index, frame in enumerate(frames):
        yield index / fps if frame.time is None else frame.time, frame


def _chosen(frames: Iterator[Timed], sampling: Sampling, extent: VideoExtent) -> tuple[int, Iterator[Timed]]:
    """How many frames at most, and those that are wanted, as often as they are wanted."""
    if sampling.fps is not None:
        times = sampling.times(extent.begin, extent.end)
        return len(times), _pick_times(frames, times)
    indices = sampling.indices(extent.count)
    return len(indices), _pick_indices(frames, indices, fill=sampling.fixed)


def _pick_indices(frames: Iterator[Timed], indices: list[int], fill: bool) -> Iterator[Timed]:
    """`fill` repeats the last frame where fewer come out of the decoder than went in."""
    wanted = iter(indices)
    index = next(wanted, None)
    frame = None
    for number, frame in enumerate(frames):
        while index == number:
            yield frame
            index = next(wanted, None)
        if index is None:
            return
    if fill and frame is not None:
        yield frame
        yield from [frame for _ in wanted]


def _pick_times(frames: Iterator[Timed], times: list[float]) -> Iterator[Timed]:
    """At each time the last frame that has begun by then."""
    shown = None
    wanted = iter(times)
    time = next(wanted, None)
    for frame in frames:
        while time is not None and shown is not None and time < frame[0] - 1e-6:
            yield shown
            time = next(wanted, None)
        if time is None:
            return
        shown = frame
    if time is not None and shown is not None:
        yield shown
        yield from [shown for _ in wanted]


def _make_clip(chosen: tuple[int, Iterator[Timed]], request: VideoRequest, extent: VideoExtent) -> Clip:
    count, frames = chosen
    pictures: NDArray[np.uint8] | None = None
    times = []
    for index, (time, frame) in enumerate(frames):
        if pictures is None:
            turned = frame.rotation % 180 != 0
            shape = request.size or ((frame.width, frame.height) if turned else (frame.height, frame.width))
            require_room(prod((count, *shape, 3)), request.max_bytes)
            pictures = np.empty((count, *shape, 3), np.uint8)
        pictures[index] = _picture(frame, *pictures.shape[1:3])
        times.append(time)
    if pictures is None:
        raise ValueError("there are no frames in it")
    return Clip(pictures[: len(times)], np.array(times), extent.fps)


def _picture(frame: Any, height: int, width: int) -> NDArray[np.uint8]:
    """[H, W, 3], upright: a phone held on edge stores its pictures lying, and how to turn them."""
    if frame.rotation % 180:
        height, width = width, height
    lying: NDArray[np.uint8] = frame.reformat(width, height, "rgb24").to_ndarray()
    return np.rot90(lying, frame.rotation // 90)
