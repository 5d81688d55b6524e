"""Leaves out of a traceback what is ours, where the error is a user's: between a loop and a function may lie twenty frames."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from asyncwds.pipeline.stage_errors import is_noted

PACKAGE = f"{Path(__file__).parents[1]}/"


def users_frames(error: BaseException) -> TracebackType | None:
    """The error's traceback, without our frames above the user's last one if it is from a function in a stage.

    What that last one called is left as it is. Where the error is raised again with this traceback that frame is added: the only
    one of ours that is left.
    """
    traceback = error.__traceback__
    if not is_noted(error):
        return traceback and traceback.tb_next
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    theirs = [number for number, frame in enumerate(frames) if not _is_ours(frame)]
    if not theirs:
        return frames[0].tb_next
    kept = [frames[number] for number in theirs] + frames[theirs[-1] + 1 :]
    for frame, following in zip(kept, [*kept[1:], None], strict=True):
        frame.tb_next = following
    return kept[0]


def _is_ours(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(PACKAGE)
