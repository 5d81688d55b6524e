"""Videos made here, decoded by each of the libraries."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asyncwds import Decoder, Video, video
from asyncwds.codecs import VIDEO_EXTENSIONS
from asyncwds.errors import DecodeError, SpecError

pytestmark = pytest.mark.needs("av")

VideoOf = Callable[..., bytes]
LIBRARIES = ["pyav", pytest.param("torchcodec", marks=pytest.mark.needs("torchcodec"))]
BOTH = pytest.mark.parametrize("library", LIBRARIES)
# Extension, container, codec, audio codec, what its file can't tell: the rate of frames.
KINDS = [
    ("mp4", "mp4", "libx264", "aac"),
    ("mov", "mov", "mjpeg", "aac"),
    ("m4v", "mp4", "libx264", None),
    ("webm", "webm", "libvpx-vp9", "libopus"),
    ("mkv", "matroska", "libx264", "flac"),
    ("avi", "avi", "mjpeg", "mp3"),
    ("wmv", "asf", "wmv2", None),
    ("mjpeg", "mjpeg", "mjpeg", None),
    ("h264", "h264", "libx264", None),
    ("mpg", "mpeg", "mpeg1video", "mp2"),
]


def decode(data: bytes, spec: str = "rgb8", field: str = "mp4", **options: Any) -> Video:
    return Decoder([video(spec, **options)])({"__key__": "k", field: data})[field]


def numbers(clip: Video) -> list[int]:
    """The numbers of the frames that were taken."""
    return [round(frame.mean() / 8) for frame in np.asarray(clip.frames)]


@pytest.mark.parametrize(("extension", "kind", "codec", "audio"), KINDS, ids=[case[0] for case in KINDS])
def test_every_extension(video_of: VideoOf, extension: str, kind: str, codec: str, audio: str | None) -> None:
    rate = 25 if kind in {"mpeg", "h264", "mjpeg"} else 10
    clip = decode(video_of(kind, codec, audio, rate=rate), field=extension, audio=True)
    assert clip.frames.shape == (30, 48, 64, 3)
    assert clip.frames.dtype == np.uint8
    assert numbers(clip) == list(range(30))
    assert clip.fps == pytest.approx(rate, rel=0.05)  # AVI counts an empty frame
    assert np.allclose(np.diff(clip.pts)[1:], 1 / rate)
    assert (clip.rate, clip.audio is None) == ((48_000, False) if audio else (None, True))
    if audio:
        assert clip.audio.dtype == np.float32
        assert clip.audio.shape[0] == 1
        assert clip.audio.shape[1] / 48_000 == pytest.approx(30 / rate, abs=0.1)
        assert np.std(clip.audio) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@BOTH
@pytest.mark.parametrize(
    ("sampling", "taken"),
    [
        ({}, list(range(30))),
        ({"frames": 3}, [5, 15, 25]),
        ({"frames": 1}, [15]),
        ({"frames": 45}, [(2 * piece + 1) * 30 // 90 for piece in range(45)]),
        ({"stride": 7}, [0, 7, 14, 21, 28]),
        ({"stride": 7, "frames": 2}, [0, 7]),
        ({"stride": 100, "frames": 2}, [0]),
        ({"fps": 2}, [0, 5, 10, 15, 20, 25]),
        ({"fps": 4, "frames": 5}, [0, 2, 5, 7, 10]),
        ({"fps": 20, "frames": 5}, [0, 0, 1, 1, 2]),
        ({"fps": 1 / 60}, [0]),
    ],
)
@pytest.mark.parametrize(("kind", "codec"), [("mp4", "libx264"), ("webm", "libvpx")])
def test_sampling(video_of: VideoOf, library: Any, kind: str, codec: str, sampling: Any, taken: list[int]) -> None:
    clip = decode(video_of(kind, codec), library=library, **sampling)
    assert numbers(clip) == taken
    assert np.allclose(clip.pts, np.array(taken) / 10)
    assert clip.pts.dtype == np.float64


@pytest.mark.parametrize("sampling", [{"frames": 4}, {"stride": 9}, {"fps": 5}])
@pytest.mark.parametrize(
    ("kind", "codec"), [("h264", "libx264"), ("mpeg", "mpeg1video"), ("mpegts", "mpeg2video"), ("asf", "wmv2")]
)
def test_sampling_of_what_only_pyav_reads(video_of: VideoOf, kind: str, codec: str, sampling: dict[str, Any]) -> None:
    """Raw streams have no times, and others do not begin at 0."""
    clip = decode(video_of(kind, codec, rate=25), **sampling)
    expected = {"frames": [3, 11, 18, 26], "stride": [0, 9, 18, 27], "fps": [0, 5, 10, 15, 20, 25]}
    assert numbers(clip) == expected[next(iter(sampling))]


@pytest.mark.needs("torchcodec")
@pytest.mark.parametrize("kind", KINDS, ids=[case[0] for case in KINDS])
@pytest.mark.parametrize("sampling", [{}, {"frames": 5}, {"fps": 7}])
def test_both_libraries_give_the_same(video_of: VideoOf, kind: tuple[Any, ...], sampling: dict[str, Any]) -> None:
    data = video_of(*kind[1:], rate=25)
    mine = decode(data, library="pyav", audio=True, **sampling)
    if kind[1] in {"asf", "mjpeg", "h264", "mpeg"}:
        with pytest.raises(DecodeError, match="TorchCodec is not given"):
            decode(data, library="torchcodec")
        return
    other = decode(data, library="torchcodec", audio=True, **sampling)
    assert np.array_equal(mine.frames, other.frames)
    assert np.allclose(mine.pts, other.pts)
    assert mine.rate == other.rate
    if mine.audio is not None:
        assert np.allclose(mine.audio, other.audio, atol=1e-6)


@BOTH
def test_specs_and_sizes(video_of: VideoOf, library: Any) -> None:
    data = video_of()
    assert decode(data, library=library, size=(24, 20), frames=2).frames.shape == (2, 24, 20, 3)
    floats = decode(data, "rgb", library=library, frames=2)
    assert floats.frames.dtype == np.float32
    assert np.allclose(floats.frames * 255, decode(data, library=library, frames=2).frames)


@BOTH
@pytest.mark.needs("torch")
def test_tensors(video_of: VideoOf, library: Any) -> None:
    import torch

    data = video_of("mp4", "libx264", "aac")
    array = decode(data, library=library, frames=4, audio=True)
    clip = decode(data, "torchrgb8", library=library, frames=4, audio=True)
    assert clip.frames.dtype == torch.uint8
    assert clip.frames.is_contiguous()
    assert np.array_equal(clip.frames.numpy(), array.frames.transpose(0, 3, 1, 2))
    assert torch.equal(clip.pts, torch.from_numpy(array.pts))
    assert torch.equal(clip.audio, torch.from_numpy(array.audio))
    assert decode(data, "torchrgb", library=library, frames=1).frames.dtype == torch.float32


@BOTH
def test_what_was_filmed_on_edge_stands_upright(video_of: VideoOf, library: Any) -> None:
    """The matrix in the track's header, turned by a quarter."""
    data = video_of()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    data = data[:at] + turned + data[at + len(turned) :]
    assert decode(data, library=library, frames=2).frames.shape == (2, 64, 48, 3)
    assert decode(data, library=library, frames=2, size=(32, 20)).frames.shape == (2, 32, 20, 3)


def test_a_title_that_is_no_utf_8(video_of: VideoOf) -> None:
    data = video_of("avi", "mjpeg")
    at = data.index(b"ISFT") + 8  # the name of the program that wrote it
    data = data[:at] + b"\xe9" + data[at + 1 :]
    assert len(decode(data, library="pyav").frames) == 30


# -- what is no video


@BOTH
@pytest.mark.parametrize("data", [b"", b"junk" * 100, b"\0\0\0\x18ftypmp42" + b"\0" * 50])
def test_fault_27_what_is_no_video(library: Any, data: bytes) -> None:
    for options in ({}, {"fps": 2}, {"frames": 3}):
        with pytest.raises(DecodeError) as caught:
            decode(data, library=library, **options)
        assert (caught.value.field, caught.value.key) == ("mp4", "k")


@BOTH
@pytest.mark.parametrize(
    ("kind", "left"), [("mp4", 0.5), ("mp4", 0.95), ("avi", 0.1), ("matroska", 0.5), ("matroska", 0.999), ("matroska", 0.01)]
)
def test_fault_27_a_truncated_video(video_of: VideoOf, library: Any, kind: str, left: float) -> None:
    data = video_of(kind, "mpeg4")
    with pytest.raises(DecodeError):
        decode(data[: int(left * len(data))], library=library)


@BOTH
def test_matroska_that_does_not_say_how_long_it_is(video_of: VideoOf, library: Any) -> None:
    data = video_of("webm", "libvpx")
    at = data.index(b"\x18\x53\x80\x67") + 4
    assert len(decode(data[:at] + b"\x01" + b"\xff" * 7 + data[at + 8 :], library=library).frames) == 30


def test_a_video_that_is_cut_in_a_frame(video_of: VideoOf) -> None:
    data = video_of("avi", "mjpeg")
    with pytest.raises(DecodeError, match="cut or corrupt"):
        decode(data[: len(data) // 2], library="pyav")


@BOTH
def test_sound_alone_is_no_video(sound_of: VideoOf, library: Any) -> None:
    for kind, codec in (("mp4", "aac"), ("wav", "pcm_s16le")):
        with pytest.raises(DecodeError):
            decode(sound_of(kind, codec), library=library)


@BOTH
def test_a_video_that_takes_too_much_memory_is_refused(video_of: VideoOf, library: Any) -> None:
    size = 48 * 64 * 3
    assert len(decode(video_of(), library=library, max_bytes=30 * size).frames) == 30
    with pytest.raises(DecodeError, match=f"more than {30 * size - 1} bytes"):
        decode(video_of(), library=library, max_bytes=30 * size - 1)
    assert len(decode(video_of(), library=library, max_bytes=2 * size, frames=2).frames) == 2
    with pytest.raises(DecodeError, match="more than"):
        decode(video_of("mp4", "libx264", "aac"), library=library, max_bytes=100_000, frames=1, audio=True)


@BOTH
@pytest.mark.parametrize("spoken", ["ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:3,\nsecret.mp4\n#EXT-X-ENDLIST\n"])
def test_a_playlist_opens_no_file(
    video_of: VideoOf, library: Any, spoken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg itself takes the first for a video, and plays the files that it names."""
    (tmp_path / "secret.mp4").write_bytes(video_of())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DecodeError):
        decode(spoken.encode(), library=library)


@BOTH
def test_a_session_description_opens_no_socket(library: Any) -> None:
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "c=IN IP4 127.0.0.1", "t=0 0"]
    lines += ["m=video 5004 RTP/AVP 96", "a=rtpmap:96 H264/90000", ""]
    with pytest.raises(DecodeError):
        decode("\r\n".join(lines).encode(), library=library)


# -- the handler


def test_other_fields_are_left_alone(video_of: VideoOf) -> None:
    handler = video(extensions=["film"])
    assert handler(".mp4", video_of()) is None
    assert len(handler(".a.FILM", video_of()).frames) == 30
    assert video()(".mp4.json", b"{}") is None
    assert "gif" not in VIDEO_EXTENSIONS


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (["rgba8"], {}),
        (["l8"], {}),
        (["pil"], {}),
        (["raw"], {}),
        (["rgb16"], {}),
        (["mp4"], {}),
        ([], {"frames": 0}),
        ([], {"fps": 2, "stride": 2}),
        ([], {"library": "moviepy"}),
    ],
)
def test_arguments_that_make_no_sense(args: list[str], options: Any) -> None:
    with pytest.raises(SpecError):
        video(*args, **options)


def test_the_handler_pickles_and_prints(video_of: VideoOf) -> None:
    handler = video(frames=3, library="pyav")
    copied = pickle.loads(pickle.dumps(handler))
    assert copied == handler
    assert len(copied(".mp4", video_of()).frames) == 3
    assert "frames=3" in repr(handler)


@pytest.mark.needs("torch")
def test_torch_video_is_what_torchvision_gave(video_of: VideoOf) -> None:
    import torch

    from asyncwds import torch_video

    frames, sound, about = torch_video(".mp4", video_of("mp4", "libx264", "aac"))
    assert (frames.shape, frames.dtype) == ((30, 48, 64, 3), torch.uint8)
    assert (sound.shape[0], sound.dtype) == (1, torch.float32)
    assert about == {"video_fps": 10.0, "audio_fps": 48_000}
    frames, sound, about = torch_video(".avi", video_of("avi", "mpeg4"))
    assert (sound.shape, about) == ((1, 0), {"video_fps": pytest.approx(10, rel=0.1)})
    assert torch_video(".jpg", b"") is None


def test_a_missing_library_is_named_when_the_handler_is_made() -> None:
    code = """
import sys
sys.modules.update(av=None, torchcodec=None)
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {"av", "torchcodec"} else find_spec(name)
from asyncwds import torch_video, video
from asyncwds.errors import SpecError
for call in (video, lambda: video(library="pyav"), lambda: video(library="torchcodec"), lambda: torch_video(".mp4", b"")):
    try:
        call()
    except SpecError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all("asyncwds[video]" in line for line in (lines[0], lines[1], lines[3]))
    assert "asyncwds[torchcodec]" in lines[2]
