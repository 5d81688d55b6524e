"""`video split` and `video probe`: clips that are as long as they should be."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

import asyncwds as wds
from asyncwds.errors import SampleError, SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import (
    Cutting,
    Inputs,
    Outputs,
    Report,
    VideoSplit,
    cut_video,
    find_encoder,
    probe_video,
    probe_videos,
    split_videos,
)

SOUND = 44100


def make_video(seconds=5, rate=25, sound=True, scenes=1):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        pictures = out.add_stream("libx264", rate=rate, options={"g": "12", "preset": "ultrafast"})
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        recording = out.add_stream("aac", rate=SOUND, layout="stereo") if sound else None
        count = int(seconds * rate)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 200 * (number * scenes // count % 2) + number % 10, np.uint8), "rgb24"
            )
            frame.pts, frame.time_base = number, Fraction(1, rate)
            out.mux(pictures.encode(frame))
        out.mux(pictures.encode(None))
        if recording is not None:
            for start in range(0, int(seconds * SOUND), 1024):
                piece = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
                piece.rate, piece.pts, piece.time_base = SOUND, start, Fraction(1, SOUND)
                out.mux(recording.encode(piece))
            out.mux(recording.encode(None))
    return file.getvalue()


def frames_of(data):
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture(scope="module")
def video():
    return make_video()


def test_clips_of_two_seconds_are_two_seconds(video):
    clips = list(cut_video(video, Cutting(2, exact=True)))
    assert [(clip.begin, clip.duration, clip.frames) for clip in clips] == [(0, 2, 50), (2, 2, 50)]
    assert [frames_of(clip.data) for clip in clips] == [50, 50]
    for clip in clips:
        pictures, recording = probe_video(clip.data)["streams"]
        assert pictures["duration"] == 2
        assert recording["duration"] == pytest.approx(2, abs=1024 / SOUND)


def test_what_is_left_rates_and_sizes(video):
    cutting = Cutting(2, exact=True, fps=10, size=(32, 32), pad=True, short=True, sound=False)
    clips = list(cut_video(video, cutting))
    assert [frames_of(clip.data) for clip in clips] == [clip.frames for clip in clips] == [20, 20, 10]
    about = probe_video(clips[0].data)["streams"]
    assert [(stream["width"], stream["height"], stream["avg_frame_rate"]) for stream in about] == [(32, 32, "10/1")]
    assert [clip.data for clip in cut_video(video, cutting)] == [clip.data for clip in clips]


def test_copies_lose_no_frame(video):
    clips = list(cut_video(video, Cutting(1, short=True)))
    assert sum(frames_of(clip.data) for clip in clips) == sum(clip.frames for clip in clips) == 125
    assert all(clip.duration >= 1 for clip in clips[:-1])


def test_scenes():
    clips = list(cut_video(make_video(seconds=4, scenes=4, sound=False), Cutting(scene=0.3, exact=True)))
    assert [clip.frames for clip in clips] == [25, 25, 25, 25]


@pytest.fixture
def shard(tmp_path, video):
    path = tmp_path / "in.tar"
    samples = [{"__key__": f"yt{n}", "mp4": video if n != 1 else make_video(0.4), "info.json": b'{"title": "x"}'} for n in range(3)]
    path.write_bytes(make_shard(samples))
    return path


def test_shards_of_clips(shard):
    split = VideoSplit(cutting=Cutting(2, exact=True, sound=False), copy_fields=["info.json"])
    report = split_videos(Inputs(urls=[str(shard)]), Outputs(target=str(shard.parent / "out.tar")), split, jobs=2)
    samples = list(wds.WebDataset(str(shard.parent / "out.tar"), shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == ["yt0_000", "yt0_001", "yt2_000", "yt2_001"]
    assert samples[1]["clip.json"] == {"key": "yt0", "begin": 2.0, "duration": 2.0, "frames": 50}
    assert samples[1]["info.json"] == {"title": "x"}
    assert (report.samples_in, report.made, report.samples_out, dict(report.dropped)) == (3, 2, 4, {"shorter than a clip": 1})


def test_what_videos_are(shard):
    found = list(probe_videos(Inputs(urls=[str(shard)])))
    assert [about["key"] for about in found] == ["yt0", "yt1", "yt2"]
    assert [about["format"]["duration"] for about in found] == pytest.approx([5, 0.4, 5], abs=0.05)
    assert found[0]["streams"][0]["nb_frames"] == 125


def test_what_is_no_video(tmp_path):
    (tmp_path / "in.tar").write_bytes(make_shard([{"__key__": "a", "mp4": b"junk"}]))
    inputs, outputs = Inputs(urls=[str(tmp_path / "in.tar")]), Outputs(target=str(tmp_path / "out.tar"))
    with pytest.raises(SampleError, match="cannot be cut.*key=a"):
        split_videos(inputs, outputs, VideoSplit(cutting=Cutting(2, exact=True)))
    (tmp_path / "none.tar").write_bytes(make_shard([{"__key__": "k", "mp4": b"none"}]))
    probed = Report()
    assert not list(probe_videos(Inputs(urls=[str(tmp_path / "none.tar")], on_error="skip"), report=probed))
    assert (probed.check().dropped, probed.status) == ({"damaged": 1}, 4)
    with pytest.raises(SpecError, match="need exact=True"):
        Cutting(2, hardware=True)
    assert find_encoder(("no_such_encoder", "libx264")) == "libx264"
    with pytest.raises(SpecError, match="no hardware here encodes videos: no_such_encoder cannot be opened"):
        find_encoder(("no_such_encoder",))
    with pytest.raises(SpecError, match="no encoder 'x'"):
        split_videos(inputs, outputs, VideoSplit(cutting=Cutting(2, exact=True, codec="x")))
    with pytest.raises(SampleError, match="no video or recording.*key=a"):
        list(probe_videos(inputs))


@pytest.mark.parametrize("options", [{}, {"duration": 0}, {"duration": 1, "fps": 3}, {"duration": 1, "exact": True, "pad": True}])
def test_options_that_make_no_sense(options):
    with pytest.raises(SpecError):
        Cutting(**options)
