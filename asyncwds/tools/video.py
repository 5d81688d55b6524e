"""`video split` and `video probe`: clips of the videos in shards, and what the videos are."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from asyncwds import checks
from asyncwds.codecs.video import VIDEO_EXTENSIONS
from asyncwds.errors import SampleError
from asyncwds.tar.raw import RawSample
from asyncwds.tools.becoming import Outcome, placed, with_sole_fields, write_outcomes
from asyncwds.tools.by_shard import is_by_shard, run_by_shard
from asyncwds.tools.copying import DAMAGED, describe_run, select
from asyncwds.tools.inputs import ErrorPolicy, Inputs
from asyncwds.tools.making import SampleMaker
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.processing.running import call_each
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.videos.clips import Clip, Cutting, cut_video
from asyncwds.tools.videos.probe import probe_video


@dataclass(frozen=True, kw_only=True)
class VideoSplit:
    """cutting      how long clips are, and what they look like
    field        of the video; None is the first one whose name is a video's
    copy_fields  of the sample, into each of its clips
    key          of a clip: {key} of its sample, {clip} its number
    """

    cutting: Cutting
    field: str | None = None
    copy_fields: Sequence[str] = ()
    key: str = "{key}_{clip:03d}"


def split_videos(
    inputs: Inputs, outputs: Outputs, split: VideoSplit, selection: Selection | None = None, *, jobs: int = 1
) -> Report:
    """Writes a sample for each clip: `mp4`, the fields that are copied, and `clip.json`: its video's key, begin and duration [s].

    `jobs` videos are cut at a time, in processes where each shard has outputs of its own, see `asyncwds.tools.by_shard`.
    Raises SpecError, FetchError, TarError, and SampleError for what is no video, unless `inputs.on_error` passes that over.
    """
    checks.whole("jobs", jobs, 1)
    selection = selection or Selection()
    if is_by_shard(inputs, outputs, selection, jobs):
        tool = partial(split_videos, split=split)
        return run_by_shard(tool, inputs, outputs, selection, jobs=jobs, run=["video split", repr(split)])
    report = Report()
    run = describe_run("video split", inputs, selection, repr(split)) if outputs.resume else None

    def call(wanted: Iterator[RawSample], _: int) -> Generator[tuple[RawSample, Outcome], None, None]:
        return call_each(partial(_clips, split), wanted, jobs)

    with (
        closing(select(inputs, selection, report)) as selected,
        closing(with_sole_fields(selected, inputs, report)) as samples,
    ):
        return write_outcomes(call, samples, inputs, outputs, report, nothing="shorter than a clip", run=run)


def _clips(split: VideoSplit, sample: RawSample) -> Outcome:
    make = SampleMaker()
    try:
        clips = cut_video(_video(sample, split.field), split.cutting)
        return [_clip_sample(make, sample, clip, number, split) for number, clip in enumerate(clips)]
    except SampleError as error:
        return placed(error, sample)


def _video(sample: RawSample, field: str | None) -> bytes:
    fields = sample.fields()
    name = field or next((name for name in fields if name.rpartition(".")[2] in VIDEO_EXTENSIONS), None)
    if name not in fields:
        raise SampleError(f"there is no {'video' if name is None else f'field {name}'}, but {', '.join(fields)}")
    return fields[name].read()


def _clip_sample(make: SampleMaker, sample: RawSample, clip: Clip, number: int, split: VideoSplit) -> RawSample:
    fields = sample.fields()
    copied = {name: fields[name].read() for name in split.copy_fields if name in fields}
    about = {"key": sample.key, "begin": clip.begin, "duration": clip.duration, "frames": clip.frames}
    key = split.key.format(key=sample.key, clip=number)
    return make({"__key__": key, **copied, "mp4": clip.data, "clip.json": about}, sample.url, sample.ordinal)


def probe_videos(
    inputs: Inputs, selection: Selection | None = None, field: str | None = None, report: Report | None = None
) -> Iterator[dict[str, Any]]:
    """Of each sample its key, shard, and what `probe_video` says of its video.

    report   counts the samples

    Raises SampleError for what is none, unless `inputs.on_error` passes that over.
    """
    report = Report() if report is None else report
    errors = ErrorPolicy(inputs, report)
    with closing(select(inputs, selection or Selection(), report)) as samples:
        for sample in samples:
            try:
                about = probe_video(_video(sample, field))
            except SampleError as error:
                goes_on = errors.handle(placed(error, sample))
                report.dropped[DAMAGED] += 1
                if not goes_on:
                    return
                continue
            report.samples_out += 1
            yield {"key": sample.key, "shard": sample.url, **about}
