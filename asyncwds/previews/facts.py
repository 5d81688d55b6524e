"""A line about a field: what an image measures, how long a recording is, what an array has. No I/O."""

from __future__ import annotations

import math
import wave
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from asyncwds.codecs.pyav import open_container
from asyncwds.formatting.texts import plural
from asyncwds.previews.kinds import FieldKind
from asyncwds.previews.pictures import unpacked
from asyncwds.previews.texts import read_text
from asyncwds.previews.values import describe_value, load_value

_SHORT = 4000  # characters


def describe_field(data: bytes, kind: FieldKind) -> str:
    """Facts about a field, in lines; "" for one that has none but its size. Raises what decoding raises.

    Of videos, and of recordings that are not WAV, they need the extras `video` and `audio`.
    """
    if kind.kind in ("text", "json"):
        return ""
    data = unpacked(data, kind)
    if kind.kind in ("image", "raster"):
        try:
            return _describe_image(data) or _describe_array(data, kind)
        except UnidentifiedImageError as error:  # which says no more than where in memory it is
            raise ValueError("this is no image that is known") from error
    if kind.kind == "array":
        return _describe_array(data, kind)
    if kind.kind in ("audio", "video"):
        return _describe_media(data, kind)
    value = load_value(data, kind.suffix)
    return "" if value is None else describe_value(value[0])


def _describe_array(data: bytes, kind: FieldKind) -> str:
    return read_text(data, kind._replace(compression=None), _SHORT, whole=True).text


def _describe_image(data: bytes) -> str:
    """ "" for what Pillow does not know."""
    try:
        with Image.open(BytesIO(data)) as image:
            frames = getattr(image, "n_frames", 1)
            pictures = f", {plural(frames, 'frame')}" if frames > 1 else ""
            return f"{image.format} {image.width} x {image.height}, {image.mode}{pictures}"
    except UnidentifiedImageError:
        return ""


def _describe_media(data: bytes, kind: FieldKind) -> str:
    if kind.kind == "audio" and find_spec("soundfile") and (found := _by_soundfile(data)):
        return found
    if find_spec("av"):
        return _by_pyav(data)
    if kind.suffix == "wav":
        with wave.open(BytesIO(data)) as file:
            return _sound("WAV", file.getframerate(), file.getnchannels(), file.getnframes() / file.getframerate())
    return ""


def _by_soundfile(data: bytes) -> str:
    """ "" for a format that it does not know."""
    import soundfile  # noqa: PLC0415 - an extra

    try:
        about = soundfile.info(BytesIO(data))
    except soundfile.LibsndfileError:
        return ""
    return _sound(f"{about.format} {about.subtype}", about.samplerate, about.channels, about.duration)


def _by_pyav(data: bytes) -> str:
    with open_container(data) as container:
        duration = None if container.duration is None else container.duration / 1_000_000
        parts = [_stream(stream) for stream in container.streams if stream.type in ("audio", "video")]
    return "; ".join([*parts, *([] if duration is None else [_seconds(duration)])])


def _stream(stream: Any) -> str:
    context = stream.codec_context
    if stream.type == "audio":
        return f"{context.name}, {context.sample_rate} Hz, {plural(context.channels, 'channel')}"
    rate = stream.average_rate
    return f"{context.name} {context.width} x {context.height}" + ("" if rate is None else f", {float(rate):.4g} fps")


def _sound(form: str, rate: int, channels: int, duration: float) -> str:
    return f"{form}, {rate} Hz, {plural(channels, 'channel')}, {_seconds(duration)}"


def _seconds(duration: float) -> str:
    minutes, seconds = divmod(duration, 60)
    return f"{seconds:.3g} s" if not minutes or not math.isfinite(duration) else f"{minutes:.0f} min {seconds:.0f} s"
