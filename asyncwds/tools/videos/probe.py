"""What a video is: the names and values that `ffprobe -show_format -show_streams -of json` has."""

from __future__ import annotations

from typing import Any

from asyncwds.codecs.pyav import open_container
from asyncwds.errors import SampleError
from asyncwds.runtime.extras import require_extra

_MICRO = 1_000_000


def probe_video(data: bytes) -> dict[str, Any]:
    """`format` and `streams` of a video or a recording. Raises SampleError for what is none."""
    av = require_extra("av", "video")
    try:
        with open_container(data) as container:
            return {"format": _format(container, len(data)), "streams": [_stream(stream) for stream in container.streams]}
    except (av.FFmpegError, ValueError) as error:
        raise SampleError(f"no video or recording: {error}") from error


def _format(container: Any, size: int) -> dict[str, Any]:
    known = {
        "nb_streams": len(container.streams),
        "format_name": container.format.name,
        "start_time": _seconds(container.start_time),
        "duration": _seconds(container.duration),
        "size": size,
        "bit_rate": container.bit_rate or None,
        "tags": dict(container.metadata) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / _MICRO


def _stream(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    known: dict[str, Any] = {
        "index": stream.index,
        "codec_type": stream.type,
        "codec_name": None if context is None else context.name,
        "time_base": _fraction(stream.time_base),
        "duration": None if stream.duration is None else float(stream.duration * stream.time_base),
        "nb_frames": stream.frames or None,
        "tags": dict(stream.metadata) or None,
    }
    if stream.type == "video":
        known |= {
            "width": context.width,
            "height": context.height,
            "pix_fmt": context.pix_fmt,
            "avg_frame_rate": _fraction(stream.average_rate),
            "r_frame_rate": _fraction(stream.base_rate),
        }
    elif stream.type == "audio":
        known |= {"sample_rate": context.sample_rate, "channels": context.channels, "channel_layout": context.layout.name}
    return {name: value for name, value in known.items() if value is not None}


def _fraction(value: Any) -> str | None:
    return None if value is None else f"{value.numerator}/{value.denominator}"
