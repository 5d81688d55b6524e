"""Encoders of FFmpeg's for videos: those that run on hardware, and how each is told the quality."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

from asyncwds.errors import SpecError
from asyncwds.runtime.extras import require_extra

HARDWARE = ("h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox", "h264_v4l2m2m")
"""Encoders of FFmpeg's that run on hardware."""
_QUALITY = {"h264_nvenc": "cq", "h264_qsv": "global_quality"}


@cache
def find_encoder(names: Sequence[str] = HARDWARE) -> str:
    """The first of these encoders that can be opened here, which takes some 50 ms. Raises SpecError where none can."""
    av = require_extra("av", "video")
    for name in names:
        try:
            encoder = av.CodecContext.create(name, "w")
            encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 256, 256, "yuv420p", Fraction(25)
            encoder.open()
        except (av.FFmpegError, ValueError):  # the library lacks it, or the machine
            continue
        return name
    raise SpecError(f"no hardware here encodes videos: {', '.join(names)} cannot be opened")


def quality_of(codec: str, crf: int) -> dict[str, str]:
    """Options of the encoder: less is better and larger."""
    return {_QUALITY.get(codec, "crf"): str(crf)}
