from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image


def encode_image(mode: str, kind: str = "png", height: int = 24, width: int = 40) -> bytes:
    """An image of the mode ("I;16", "P", ...) with smooth and noisy parts, the same at every call."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 8, width // 8, 4))
    pixels = np.kron(coarse, np.ones((8, 8, 1))) + random.integers(-3, 4, (height, width, 4))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257 // 100)
    elif mode in {"RGBA", "LA"}:
        image = Image.fromarray(pixels).convert(mode)
    else:
        image = Image.fromarray(pixels[:, :, :3]).convert(mode)
    assert image.mode == mode
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    return encode_image


def make_video(kind: str = "mp4", codec: str = "libx264", audio: str | None = None, frames: int = 30, rate: int = 10) -> bytes:
    """Frame n is [48, 64] pixels of the grey 8 * n; the sound, if any, is a sine of 440 Hz at 48 000 a second."""
    import av

    file = BytesIO()
    with av.open(file, "w", format=kind) as container:
        video = container.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        sound = container.add_stream(audio, rate=48_000, layout="mono") if audio else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * number % 256, np.uint8), "rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            container.mux(sound.encode(sine(frames / rate)))
            container.mux(sound.encode())
    return file.getvalue()


def sine(seconds: float) -> Any:
    import av

    samples = np.sin(2 * np.pi * 440 * np.arange(round(48_000 * seconds)) / 48_000).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(0.5 * samples[None], "fltp", "mono")
    frame.rate, frame.pts = 48_000, 0
    return frame


@pytest.fixture(scope="session")
def video_of() -> Callable[..., bytes]:
    return cache(make_video)


def make_sound(kind: str, codec: str, seconds: float = 1.0) -> bytes:
    """A sine of 440 Hz, at half of the full scale, at 48 000 samples a second, on one channel."""
    import av

    file = BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        container.mux(stream.encode(sine(seconds)))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.fixture(scope="session")
def sound_of() -> Callable[..., bytes]:
    return cache(make_sound)
