"""Sounds made here, decoded by each of the libraries."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile

from asyncwds import Decoder, audio
from asyncwds.codecs import AUDIO_EXTENSIONS
from asyncwds.errors import DecodeError, SpecError

pytestmark = pytest.mark.needs("av")

SoundOf = Callable[..., bytes]
# Extension, container, codec; the last ones are not soundfile's.
KINDS = [("wav", "wav", "pcm_s16le"), ("flac", "flac", "flac"), ("ogg", "ogg", "libopus"), ("mp3", "mp3", "libmp3lame")]
KINDS += [("opus", "ogg", "libopus"), ("aiff", "aiff", "pcm_s16be"), ("aif", "aiff", "pcm_s16be")]
KINDS += [("m4a", "mp4", "aac"), ("wma", "asf", "adpcm_ms"), ("sox", "sox", "pcm_s32le"), ("aac", "adts", "aac")]


def decode(data: bytes, field: str = "wav", container: Any = "numpy", **options: Any) -> Any:
    return Decoder([audio(container, **options)])({"__key__": "k", field: data})[field]


def check(samples: Any, rate: int) -> None:
    assert rate == 48_000
    assert samples.shape[0] == 1
    assert 48_000 <= samples.shape[1] <= 53_000  # some codecs put silence before and after
    assert np.std(np.asarray(samples)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize(("extension", "kind", "codec"), KINDS, ids=[case[0] for case in KINDS])
def test_every_extension(sound_of: SoundOf, extension: str, kind: str, codec: str) -> None:
    samples, rate = decode(sound_of(kind, codec), extension)
    assert samples.dtype == np.float32
    assert samples.flags.writeable
    check(samples, rate)


def test_every_extension_is_tested() -> None:
    assert {extension for extension, *_ in KINDS} == AUDIO_EXTENSIONS


@pytest.mark.parametrize("library", ["soundfile", "pyav", pytest.param("torchcodec", marks=pytest.mark.needs("torchcodec"))])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(("kind", "depth"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_24")])
def test_samples_are_exact_and_the_same_by_each_library(library: Any, channels: int, kind: str, depth: str) -> None:
    random = np.random.default_rng(0)
    samples = (random.integers(-(2**15), 2**15, (1000, channels)) / 2**15).astype(np.float32)
    file = BytesIO()
    soundfile.write(file, samples, 8_000, format=kind, subtype=depth)
    decoded = decode(file.getvalue(), library=library)
    assert decoded.rate == 8_000
    assert decoded.samples.shape == (channels, 1000)
    assert np.array_equal(decoded.samples, samples.T)


@pytest.mark.needs("torchcodec")
@pytest.mark.parametrize(("extension", "kind", "codec"), KINDS, ids=[case[0] for case in KINDS])
def test_torchcodec_and_pyav_give_the_same(sound_of: SoundOf, extension: str, kind: str, codec: str) -> None:
    data = sound_of(kind, codec)
    mine = decode(data, extension, library="pyav")
    if extension in {"aif", "aiff", "wma", "sox", "aac"}:
        with pytest.raises(DecodeError, match="TorchCodec is not given"):
            decode(data, extension, library="torchcodec")
        return
    other = decode(data, extension, library="torchcodec")
    assert mine.rate == other.rate
    if extension not in {"ogg", "opus", "mp3"}:  # where versions of FFmpeg differ in what they cut at the ends
        assert np.allclose(mine.samples, other.samples, atol=1e-5)
    assert abs(mine.samples.shape[1] - other.samples.shape[1]) < 3_000


@pytest.mark.needs("torch")
def test_tensors(sound_of: SoundOf) -> None:
    import torch

    from asyncwds import torch_audio

    data = sound_of("flac", "flac")
    tensor, rate = decode(data, container="torch")
    assert tensor.dtype == torch.float32
    check(tensor, rate)
    samples, rate = torch_audio(".flac", data)
    assert torch.equal(samples, tensor)
    assert rate == 48_000
    assert torch_audio(".txt", data) is None
    check(*torch_audio(".m4a", sound_of("mp4", "aac")))


@pytest.mark.parametrize(
    "library", ["auto", "soundfile", "pyav", pytest.param("torchcodec", marks=pytest.mark.needs("torchcodec"))]
)
def test_fault_27_what_is_no_audio(sound_of: SoundOf, video_of: SoundOf, library: Any) -> None:
    for data in (b"", b"junk" * 100, sound_of("wav", "pcm_s16le")[:20], video_of()):
        with pytest.raises(DecodeError) as caught:
            decode(data, library=library)
        assert (caught.value.field, caught.value.key) == ("wav", "k")


@pytest.mark.parametrize("library", ["soundfile", "pyav", pytest.param("torchcodec", marks=pytest.mark.needs("torchcodec"))])
def test_audio_that_takes_too_much_memory_is_refused(sound_of: SoundOf, library: Any) -> None:
    data = sound_of("wav", "pcm_s16le")
    assert decode(data, library=library, max_bytes=4 * 48_000).samples.shape == (1, 48_000)
    with pytest.raises(DecodeError, match="more than 191999 bytes"):
        decode(data, library=library, max_bytes=4 * 48_000 - 1)


def test_other_fields_are_left_alone(sound_of: SoundOf) -> None:
    handler = audio(extensions=["sound"])
    assert handler(".wav", sound_of("wav", "pcm_s16le")) is None
    check(*handler(".a.SOUND", sound_of("wav", "pcm_s16le")))


@pytest.mark.parametrize(("args", "options"), [(["tensor"], {}), ([], {"library": "sox"})])
def test_arguments_that_make_no_sense(args: list[Any], options: Any) -> None:
    with pytest.raises(SpecError):
        audio(*args, **options)


def test_the_handler_pickles_and_prints(sound_of: SoundOf) -> None:
    handler = audio(library="soundfile")
    copied = pickle.loads(pickle.dumps(handler))
    assert copied == handler
    check(*copied(".wav", sound_of("wav", "pcm_s16le")))
    assert "soundfile" in repr(handler)


def test_without_soundfile_ffmpeg_reads_all(sound_of: SoundOf) -> None:
    code = """
import sys
sys.modules.update(soundfile=None)
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "soundfile" else find_spec(name)
from asyncwds import audio
samples, rate = audio()(".wav", sys.stdin.buffer.read())
print(samples.shape, rate)
try:
    audio(library="soundfile")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, input=sound_of("wav", "pcm_s16le"))
    first, second = done.stdout.decode().splitlines()
    assert first == "(1, 48000) 48000"
    assert "asyncwds[audio]" in second


def test_a_missing_library_is_named_when_the_handler_is_made() -> None:
    code = """
import sys
sys.modules.update(av=None, torchcodec=None, soundfile=None)
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {"av", "torchcodec", "soundfile"} else find_spec(name)
from asyncwds import audio
try:
    audio()
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "asyncwds[audio]" in done.stdout
