"""A video → clips of it: encoded anew with so many frames, or copied from key frame to key frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np

from asyncwds.codecs.pyav import open_container
from asyncwds.errors import SampleError, SpecError
from asyncwds.runtime.extras import require_extra
from asyncwds.tools.videos.encoders import find_encoder, quality_of
from asyncwds.tools.videos.sound import SoundReader

_WIDTH, _HEIGHT = 64, 36


class SceneCuts:
    """Compares each picture with the one before: the mean difference of small gray copies, 0 to 1."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._last: Any = None

    def is_cut(self, frame: Any) -> bool:
        small = frame.reformat(_WIDTH, _HEIGHT, "gray").to_ndarray().astype(np.int16)
        last, self._last = self._last, small
        return last is not None and float(np.abs(small - last).mean()) / 255 > self._threshold


@dataclass(frozen=True)
class Cutting:
    """How a video is cut.

    duration   of a clip [s]; None with `scene` is the whole scene
    exact      clips have exactly this duration: they are encoded anew. Otherwise they are copied, from the first key frame that
               comes when a clip is as long
    fps        frames a second of the clips; None is the video's own rate
    size       width and height of the clips; with `pad` the picture keeps its shape, between black bars
    scene      where pictures differ by more than this from the one before, 0 to 1, a clip ends; 0.3 is usual
    short      also keep what is left at the end
    sound      keep the first recording too, as AAC
    codec, crf   of the pictures, as FFmpeg names them
    hardware   encode by the first of `asyncwds.tools.videos.encoders.HARDWARE` that works here, in place of `codec`
    """

    duration: float | None = None
    exact: bool = False
    fps: float | None = None
    size: tuple[int, int] | None = None
    pad: bool = False
    scene: float | None = None
    short: bool = False
    sound: bool = True
    codec: str = "libx264"
    crf: int = 23
    hardware: bool = False

    def __post_init__(self) -> None:
        if self.duration is None and self.scene is None:
            raise SpecError("clips need a duration, or a scene threshold")
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise SpecError(f"the duration of a clip is above 0 s, not {self.duration!r}")
        if not self.exact and (self.fps or self.size or self.pad or self.scene or self.hardware):
            raise SpecError("fps, size, pad, scene and hardware need exact=True: the pictures are encoded anew")
        if self.pad and self.size is None:
            raise SpecError("pad needs a size")


@dataclass(frozen=True)
class Clip:
    """A part of a video: `data` are an MP4 file, `begin` and `duration` in [s]."""

    data: bytes
    begin: float
    duration: float
    frames: int


def cut_video(data: bytes, cutting: Cutting) -> Iterator[Clip]:
    """The clips of a video.

    Raises SampleError for what cannot be read as one, when it comes to it, and SpecError for a codec that FFmpeg does not have.
    """
    av = require_extra("av", "video")
    try:
        if cutting.exact and cutting.hardware:
            cutting = replace(cutting, codec=find_encoder())
        elif cutting.exact:
            av.Codec(cutting.codec, "w")
    except ValueError as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"FFmpeg has no encoder {cutting.codec!r} here") from error
    try:
        yield from _encoded(data, cutting) if cutting.exact else _copied(data, cutting)
    except (av.FFmpegError, ValueError, IndexError) as error:
        if isinstance(error, SpecError | SampleError):
            raise
        raise SampleError(f"the video cannot be cut: {error}") from error


def _copied(data: bytes, cutting: Cutting) -> Iterator[Clip]:
    with open_container(data) as container:
        streams = [container.streams.video[0], *(container.streams.audio[:1] if cutting.sound else ())]
        clip: _Copy | None = None
        for packet in container.demux(streams):
            if packet.dts is None:  # the end
                continue
            begins = packet.stream is streams[0] and packet.is_keyframe
            if clip is None or (begins and clip.length_until(packet) >= (cutting.duration or 0)):
                if clip is not None:
                    yield clip.end()
                clip = _Copy(streams, packet)
            clip.add(packet)
        if clip is not None and (cutting.short or clip.length >= (cutting.duration or 0)):
            yield clip.end()


class _Copy:
    """A clip of packets that are copied."""

    def __init__(self, streams: list[Any], first: Any) -> None:
        self._file = BytesIO()
        self._output = require_extra("av", "video").open(self._file, "w", format="mp4")
        self._streams = {stream: self._output.add_stream_from_template(stream) for stream in streams}
        self._video = streams[0]
        self._begin = first.dts * first.time_base
        self._shown = first.pts * first.time_base
        self.length = Fraction(0)
        self.frames = 0

    def length_until(self, packet: Any) -> Fraction:
        until: Fraction = packet.pts * packet.time_base - self._shown
        return until

    def add(self, packet: Any) -> None:
        if packet.stream is self._video:
            self.frames += 1
            self.length = max(self.length, self.length_until(packet) + packet.duration * packet.time_base)
        offset = round(self._begin / packet.time_base)
        packet.dts -= offset
        packet.pts -= offset
        packet.stream = self._streams[packet.stream]
        self._output.mux(packet)

    def end(self) -> Clip:
        self._output.close()
        return Clip(self._file.getvalue(), float(self._shown), float(self.length), self.frames)


def _encoded(data: bytes, cutting: Cutting) -> Iterator[Clip]:
    with open_container(data) as container:
        stream = container.streams.video[0]
        rate = Fraction(cutting.fps).limit_denominator(1001) if cutting.fps else stream.average_rate or Fraction(25)
        length = None if cutting.duration is None else max(1, round(Fraction(cutting.duration) * rate))
        cuts = None if cutting.scene is None else SceneCuts(cutting.scene)
        sound = SoundReader(data) if cutting.sound and container.streams.audio else None
        clip: _Encoding | None = None
        for count, frame in enumerate(_prepared(container.decode(stream), stream, cutting, rate)):
            is_cut = cuts is not None and cuts.is_cut(frame)
            if clip is not None and (is_cut or clip.frames == length):
                yield clip.end()
                clip = None
            if clip is None:
                clip = _Encoding(frame, rate, cutting, sound, count)
            clip.add(frame)
        if clip is not None:
            last = clip.end()
            if cutting.short or length is None or last.frames == length or cuts is not None:
                yield last


def _prepared(frames: Iterable[Any], stream: Any, cutting: Cutting, rate: Fraction) -> Iterator[Any]:
    """At a constant rate, in the size that is wanted."""
    av = require_extra("av", "video")
    graph = av.filter.Graph()
    steps = [graph.add_buffer(template=stream), graph.add("fps", str(rate)), *_resizing(graph, cutting)]
    steps += [graph.add("format", "yuv420p"), graph.add("buffersink")]
    for before, after in pairwise(steps):
        before.link_to(after)
    graph.configure()
    for frame in frames:
        graph.vpush(frame)
        yield from _pulled(graph)
    graph.vpush(None)
    yield from _pulled(graph)


def _resizing(graph: Any, cutting: Cutting) -> list[Any]:
    if cutting.size is None:
        return [graph.add("scale", "trunc(iw/2)*2:trunc(ih/2)*2")]  # yuv420p has pairs of lines and columns
    width, height = cutting.size
    if not cutting.pad:
        return [graph.add("scale", f"{width}:{height}")]
    return [
        graph.add("scale", f"{width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2"),
        graph.add("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2"),
    ]


def _pulled(graph: Any) -> Iterator[Any]:
    av = require_extra("av", "video")
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return


class _Encoding:
    """A clip of frames that are encoded; `count` frames came before it."""

    def __init__(self, first: Any, rate: Fraction, cutting: Cutting, sound: SoundReader | None, count: int) -> None:
        self._file = BytesIO()
        self._output = require_extra("av", "video").open(self._file, "w", format="mp4", options={"fflags": "+bitexact"})
        self._stream = self._output.add_stream(cutting.codec, rate=rate, options=quality_of(cutting.codec, cutting.crf))
        self._stream.width, self._stream.height, self._stream.pix_fmt = first.width, first.height, "yuv420p"
        self._stream.thread_count = 1  # samples are encoded side by side, not slices of one
        self._sound = None if sound is None else sound.output(self._output)
        self._rate = rate
        self._count = count
        self.frames = 0

    def add(self, frame: Any) -> None:
        frame.pts, frame.time_base = self.frames, 1 / self._rate
        frame.pict_type = 0  # it was a key frame of the other video, or not
        self._output.mux(self._stream.encode(frame))
        self.frames += 1

    def end(self) -> Clip:
        self._output.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.write_until((self._count + self.frames) / self._rate)
        self._output.close()
        return Clip(self._file.getvalue(), float(self._count / self._rate), float(self.frames / self._rate), self.frames)
