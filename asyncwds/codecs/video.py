"""Video fields: handlers for `decode`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from asyncwds import checks
from asyncwds.codecs import ffmpeg
from asyncwds.codecs.image_specs import as_tensor, image_spec, pack_pixels
from asyncwds.codecs.images import extension_set, last_extension
from asyncwds.codecs.video_types import MAX_DECODED, Sampling, VideoRequest
from asyncwds.errors import SpecError

VIDEO_EXTENSIONS = frozenset({"mp4", "ogv", "mjpeg", "avi", "mov", "h264", "mpg", "webm", "wmv", "mpeg", "mkv", "m4v"})


class Video(NamedTuple):
    """A decoded video. Arrays, or tensors where the spec says torch.

    frames   [T, H, W, 3], or [T, 3, H, W] for torch; uint8, or float32 in 0..1
    pts      when each is shown, [T] float64 [s]
    fps      average frames per second of the file, whichever were taken
    audio    [C, N] float32 in -1..1; None if there is none, or it was not asked for
    rate     samples of audio per second, or None
    """

    frames: Any
    pts: Any
    fps: float
    audio: Any
    rate: int | None


@dataclass(frozen=True, slots=True)
class VideoHandler:
    """Decodes the fields whose last extension is one of `extensions`. Made by `video`."""

    spec: str
    request: VideoRequest
    audio: bool
    extensions: frozenset[str]
    library: ffmpeg.Library

    def __post_init__(self) -> None:
        ffmpeg.require(self.library)
        spec = image_spec(self.spec)
        if spec.mode != "RGB" or spec.numbers not in {"uint8", "float32"}:
            raise SpecError(f"the spec of a video is one of rgb8 rgb torchrgb8 torchrgb, not {self.spec!r}")

    def __call__(self, key: str, data: bytes) -> Video | None:
        if last_extension(key) not in self.extensions:
            return None
        reader = ffmpeg.chosen(self.library, data)
        clip = reader.read_video(data, self.request)
        sound = reader.read_audio(data, self.request.max_bytes) if self.audio else None
        spec = image_spec(self.spec)
        contained = as_tensor if spec.container == "torch" else lambda array: array
        samples, rate = (None, None) if sound is None else (contained(sound.samples), sound.rate)
        return Video(pack_pixels(clip.frames, spec), contained(clip.pts), clip.fps, samples, rate)


def video(
    spec: str = "rgb8",
    *,
    frames: int | None = None,
    stride: int | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    audio: bool = False,
    extensions: str | Iterable[str] = VIDEO_EXTENSIONS,
    library: ffmpeg.Library = "auto",
    max_bytes: int = MAX_DECODED,
) -> VideoHandler:
    """A handler for `decode`: video fields become a `Video`. `.decode(wds.video("torchrgb8", frames=16))`

    spec        rgb8, rgb, torchrgb8 or torchrgb, as for images
    frames      that many, spread evenly: the middle ones of so many equal pieces; they repeat where the video has fewer
    stride      every so-manieth frame, beginning with the first; `frames` is then the most there may be
    fps         the frame that is shown at each of so many moments a second; `frames` is then the most there may be
    size        (height, width) [pixels] to scale to
    audio       decode the sound too
    library     "torchcodec", "pyav", or the one of them that suits
    max_bytes   a video whose frames or sound take more [bytes] is refused

    Without any, all frames are decoded. Raises SpecError for arguments that make no sense, and where no library is there.
    """
    checks.whole("video: max_bytes", max_bytes, 1)
    checks.flag("video: audio", audio)
    request = VideoRequest(Sampling(frames, stride, fps), None if size is None else _pixels(size), max_bytes)
    return VideoHandler(spec, request, audio, extension_set("video", extensions), library)


def _pixels(size: Any) -> tuple[int, int]:
    checks.require(isinstance(size, tuple | list) and len(size) == 2, f"video: size must be (height, width), not {size!r}")
    return checks.whole("video: the height", size[0], 1), checks.whole("video: the width", size[1], 1)


def torch_video(key: str, data: bytes) -> Any:
    """WebDataset's handler for `decode`: all frames and the sound, as torchvision's `read_video` gave them.

    (frames [T, H, W, 3] uint8, sound [C, N] float32, {"video_fps": ..., "audio_fps": ...}) as tensors; without sound the
    second is [1, 0], and the third has no "audio_fps".
    """
    if last_extension(key) not in VIDEO_EXTENSIONS:
        return None
    import numpy as np  # noqa: PLC0415 - heavy

    reader = ffmpeg.chosen("auto", data)
    clip, sound = reader.read_video(data, VideoRequest()), reader.read_audio(data, MAX_DECODED)
    info = {"video_fps": clip.fps}
    if sound is None:
        return as_tensor(clip.frames), as_tensor(np.zeros((1, 0), np.float32)), info
    return as_tensor(clip.frames), as_tensor(sound.samples), {**info, "audio_fps": sound.rate}
