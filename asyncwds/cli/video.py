"""`asyncwds video`: clips of the videos in shards, and what the videos are."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from asyncwds.cli.json_log import tell
from asyncwds.cli.tool_options import input_options, output_options, selection_options, shard_options
from asyncwds.errors import redact
from asyncwds.formatting.texts import printable


@click.group()
def video() -> None:
    """Cuts videos into clips, and says what they are. Needs asyncwds[video].

    \b
    asyncwds video split 'films-{000..099}.tar' --duration 2 --exact -o 'clips-{shard:06d}.tar'
    asyncwds video probe 'films-{000..099}.tar' -n 10
    """


@video.command("split")
@input_options
@selection_options
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Of a clip.")
@click.option("--exact", is_flag=True, help="So long to the frame: pictures are encoded anew. Otherwise copied by key frames.")
@click.option("--fps", type=click.FloatRange(min=0, min_open=True), help="Pictures a second.")
@click.option("--size", metavar="WxH", help="Of the pictures.")
@click.option("--pad", is_flag=True, help="Keep their shape, between black bars.")
@click.option("--scene", type=click.FloatRange(0, 1), metavar="X", help="Begin a clip where the picture changes by more than this.")
@click.option("--keep-short", is_flag=True, help="Also what is left at the end.")
@click.option("--no-sound", is_flag=True, help="Pictures alone.")
@click.option("--codec", default="libx264", show_default=True, help="Of FFmpeg.")
@click.option("--crf", type=click.IntRange(0, 63), default=23, show_default=True, help="Less is better and larger.")
@click.option("--hw", is_flag=True, help="Encode by hardware: NVENC, Quick Sync, AMF, VideoToolbox or V4L2, in place of --codec.")
@click.option("--video-field", metavar="FIELD", help="Of the video; the first that is one if not given.")
@click.option("--copy-fields", metavar="NAMES", help="Fields that each clip gets, with commas between.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Videos at a time.")
@shard_options
@output_options
def split(urls: tuple[str, ...], **options: Any) -> int:
    """Writes a sample KEY_000, KEY_001, … for each clip of a video.

    \b
    asyncwds video split 'yt-{000000..002999}.tar' --duration 2 --exact --size 256x128 --pad -o 'clips-{shard:06d}.tar' --jobs 8
    asyncwds video split in.tar --scene 0.3 --exact --copy-fields info.json -o scenes.tar
    """
    from asyncwds.cli.tool_arguments import inputs_of, names_of, outputs_of, selection_of, show_report  # noqa: PLC0415 - heavy
    from asyncwds.tools.video import VideoSplit, split_videos  # noqa: PLC0415 - as above
    from asyncwds.tools.videos.clips import Cutting  # noqa: PLC0415 - as above

    same = ("duration", "exact", "fps", "pad", "scene", "codec", "crf")
    cutting = Cutting(
        size=_size(options["size"]),
        short=options["keep_short"],
        sound=not options["no_sound"],
        hardware=options["hw"],
        **{name: options[name] for name in same},
    )
    how = VideoSplit(cutting=cutting, field=options["video_field"], copy_fields=names_of(options["copy_fields"]))
    inputs = inputs_of(urls, "video split", options)
    report = split_videos(inputs, outputs_of(inputs, options), how, selection_of(options), jobs=options["jobs"])
    return show_report(report, options)


@video.command("probe")
@input_options
@selection_options
@click.option("--video-field", metavar="FIELD", help="Of the video; the first that is one if not given.")
def probe(urls: tuple[str, ...], *, video_field: str | None, **options: Any) -> int:
    """Prints a line of JSON for each sample: what ffprobe says of its video.

    \b
    asyncwds video probe 's3://b/yt-{000000..002999}.tar' -n 10
    asyncwds video probe yt.tar --where 'size(mp4) > 1e8'
    """
    from asyncwds.cli.tool_arguments import inputs_of, selection_of  # noqa: PLC0415 - heavy
    from asyncwds.tools.report import Report  # noqa: PLC0415 - as above
    from asyncwds.tools.video import probe_videos  # noqa: PLC0415 - as above

    report = Report()
    for about in probe_videos(inputs_of(urls, "video probe", options), selection_of(options), video_field, report):
        click.echo(json.dumps(about | {"shard": redact(about["shard"])}))
    for error in report.damaged:
        tell(printable(f"asyncwds: damaged: {error}"))
    return report.status


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise click.UsageError(f"--size is WIDTHxHEIGHT, not {text!r}")
    return int(found[1]), int(found[2])
