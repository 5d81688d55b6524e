"""Audio fields: handlers for `decode`. soundfile reads WAV, FLAC, Ogg, MP3 and AIFF; what it does not know is FFmpeg's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import Literal, get_args

from asyncwds import checks
from asyncwds.codecs import ffmpeg
from asyncwds.codecs.image_specs import as_tensor
from asyncwds.codecs.images import extension_set, last_extension
from asyncwds.codecs.video_types import MAX_DECODED, Sound, require_room
from asyncwds.errors import SpecError
from asyncwds.runtime.extras import require_extra

AUDIO_EXTENSIONS = frozenset({"flac", "mp3", "sox", "wav", "m4a", "ogg", "wma", "opus", "aac", "aif", "aiff"})
_UNKNOWN_FORMAT = 1  # libsndfile's SF_ERR_UNRECOGNISED_FORMAT

Container = Literal["numpy", "torch"]
Library = Literal["auto", "soundfile", "torchcodec", "pyav"]


@dataclass(frozen=True, slots=True)
class AudioHandler:
    """Decodes the fields whose last extension is one of `extensions`. Made by `audio`."""

    container: Container
    extensions: frozenset[str]
    library: Library
    max_bytes: int

    def __post_init__(self) -> None:
        if self.container not in get_args(Container):
            raise SpecError(f"audio becomes one of {', '.join(get_args(Container))}, not {self.container!r}")
        if self.container == "torch":
            require_extra("torch", "torch")
        if self.library == "soundfile" or (self.library == "auto" and find_spec("soundfile") is None and not _has_ffmpeg()):
            require_extra("soundfile", "audio")
        elif self.library != "auto":
            ffmpeg.require(self.library)

    def __call__(self, key: str, data: bytes) -> Sound | None:
        if last_extension(key) not in self.extensions:
            return None
        sound = _read(data, self.library, self.max_bytes)
        return Sound(as_tensor(sound.samples), sound.rate) if self.container == "torch" else sound


def audio(
    container: Container = "numpy",
    *,
    extensions: str | Iterable[str] = AUDIO_EXTENSIONS,
    library: Library = "auto",
    max_bytes: int = MAX_DECODED,
) -> AudioHandler:
    """A handler for `decode`: audio fields become (samples [C, N] float32 in -1..1, samples per second).

    `container` is "numpy" or "torch". `library` is "soundfile", "torchcodec" or "pyav", or the one of them that suits.
    Audio that takes more than `max_bytes` [bytes] is refused. Raises SpecError where no library is there.
    """
    checks.whole("audio: max_bytes", max_bytes, 1)
    return AudioHandler(container, extension_set("audio", extensions), library, max_bytes)


def torch_audio(key: str, data: bytes) -> Sound | None:
    """WebDataset's handler for `decode`: (tensor [C, N] float32 in -1..1, samples per second), as torchaudio's `load` gave it."""
    if last_extension(key) not in AUDIO_EXTENSIONS:
        return None
    sound = _read(data, "auto", MAX_DECODED)
    return Sound(as_tensor(sound.samples), sound.rate)


def _has_ffmpeg() -> bool:
    try:
        ffmpeg.require("auto")
    except SpecError:
        return False
    return True


def _read(data: bytes, library: Library, max_bytes: int) -> Sound:
    sound = None
    if library == "soundfile" or (library == "auto" and find_spec("soundfile") is not None):
        sound = _soundfile(data, max_bytes, others=library == "auto")
    if sound is None:
        assert library != "soundfile"
        sound = ffmpeg.chosen(library, data).read_audio(data, max_bytes)
    if sound is None:
        raise ValueError("there is no audio in it")
    return sound


def _soundfile(data: bytes, max_bytes: int, others: bool) -> Sound | None:
    """None for a format that it does not know, if there are others to ask."""
    soundfile = require_extra("soundfile", "audio")
    try:
        file = soundfile.SoundFile(BytesIO(data))
    except soundfile.LibsndfileError as error:
        if others and error.code == _UNKNOWN_FORMAT:
            return None
        raise
    with file:
        require_room(file.frames * file.channels * 4, max_bytes)
        return Sound(file.read(dtype="float32", always_2d=True).T.copy(), file.samplerate)
