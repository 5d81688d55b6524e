"""Video and audio through TorchCodec, which needs torch and the system's FFmpeg."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np

from asyncwds.codecs.ffmpeg import MATROSKA_HEAD
from asyncwds.codecs.video_types import Clip, Sound, VideoRequest, require_room
from asyncwds.runtime.extras import require_extra

_HEADS = (
    (0, MATROSKA_HEAD),
    (4, b"ftyp"),  # MP4, MOV, M4A
    (8, b"AVI "),
    (8, b"WAVE"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (0, b"ID3"),
)


def reads(data: bytes) -> bool:
    """Whether the data begin like a container that TorchCodec may be given.

    It opens whatever FFmpeg takes the data for, playlists of local files and network addresses too, and cannot be told
    not to. And it fails at the last frames of MPEG program and transport streams, and at raw H.264 (TorchCodec 0.13).
    """
    return any(data.startswith(head, offset) for offset, head in _HEADS)


@cache
def works() -> bool:
    """Whether it can be imported: it is installed, and finds an FFmpeg and a torch that it knows."""
    try:
        import torchcodec.decoders  # noqa: F401, PLC0415 - heavy
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def read_video(data: bytes, request: VideoRequest) -> Clip:
    _require_known(data)
    decoder = _library("decoders").VideoDecoder(data, dimension_order="NHWC", transforms=_transforms(request.size))
    known = decoder.metadata
    sampling = request.sampling
    times = None if sampling.fps is None else sampling.times(known.begin_stream_seconds, known.end_stream_seconds)
    indices = sampling.indices(known.num_frames) if times is None else []
    shape = request.size or (known.height, known.width)
    require_room(prod((len(times or indices), *shape, 3)), request.max_bytes)
    if not (times or indices):
        raise ValueError("there are no frames in it")
    batch = decoder.get_frames_at(indices) if times is None else decoder.get_frames_played_at(times)
    return Clip(batch.data.numpy(), batch.pts_seconds.numpy(), float(known.average_fps))


def read_audio(data: bytes, max_bytes: int) -> Sound | None:
    _require_known(data)
    try:
        decoder = _library("decoders").AudioDecoder(data)
    except ValueError:  # there is no audio stream; broken data are a RuntimeError
        return None
    known = decoder.metadata
    require_room(int((known.duration_seconds or 0) * known.sample_rate * known.num_channels * 4), max_bytes)
    samples = decoder.get_all_samples()
    return Sound(np.ascontiguousarray(samples.data.numpy()), samples.sample_rate)


def _require_known(data: bytes) -> None:
    if not reads(data):
        raise ValueError("TorchCodec is not given what does not begin as MP4, MOV, Matroska, WebM, AVI, Ogg, FLAC, WAV or MP3")


def _transforms(size: tuple[int, int] | None) -> list[Any]:
    return [_library("transforms").Resize(size)] if size is not None else []


def _library(module: str) -> Any:
    return require_extra(f"torchcodec.{module}", "torchcodec")
