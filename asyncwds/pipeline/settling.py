"""States from which items would be made again and dropped, made into those behind these items.

An iteration that leaves out others than the one that a state is of would drop other items: so they are made as they were made then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.pipeline.description import Description, PassState, Progress
from asyncwds.pipeline.run import Run
from asyncwds.pipeline.skipping import SkippingPlaces
from asyncwds.pipeline.states import UNSKIPPED
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.worker_info import WorkerInfo

Skips = Sequence[Any]
"""What a pipeline and each of those that it begins with leave out, as fingerprints have it."""


def settled_for(  # noqa: PLR0917 - what a run takes
    description: Description,
    epoch: int,
    place: WorkerInfo,
    passes: PassState,
    base: Mapping[str, Any] | None,
    saved: Skips,
    own: Skips,
) -> PassState:
    """The same where as much is left out as when the state was taken, or nothing would be made again.

    Raises SpecError where nobody knows what stages had after the items.
    """
    drops = passes.items if passes.stages is None else passes.skip
    if not drops or list(saved) == list(own) or not (any(saved) or any(own)):
        return passes
    if any(saved[1:]) or (any(own[1:]) and passes.stages is None):
        raise SpecError(
            f"the state is {drops} items before the one that was taken last, which would be made again and dropped, and what the "
            "datasets within leave out is not what they left out then: go on with what `skip` named then, and take a state of that"
        )
    return settled(replace(description, items=None), epoch, place, passes, base)


def settled(
    description: Description, epoch: int, place: WorkerInfo, passes: PassState, base: Mapping[str, Any] | None
) -> PassState:
    """With the states of stages behind what was given: items from a state before that are made again, without those left out."""
    behind = passes.items if passes.stages is None else passes.skip
    if not behind:
        return passes
    progress = Progress(epoch, passes.items - behind)
    stages = _marked(passes.stages, marks=True)
    resumed = replace(passes, items=passes.items - behind, skip=0, stages=stages, left_out=())
    described = replace(description, items=None, skip=SkippingPlaces(passes.left_out))
    run = Run(described, epoch, place, Counters(), None, resumed, base)
    try:
        items = run.items(progress)  # which ends the run when it is dropped
        for _ in islice(items, behind):
            progress.items += 1
        found = run.full_state()
    finally:
        run.close()
    if found.stages is None:
        raise SpecError(f"a state does not say which samples were given: {found.reason}")
    return replace(found, stages=_marked(found.stages, marks=False))


def _marked(value: Any, *, marks: bool) -> Any:
    """States of datasets and lanes within others, which are to leave nothing out; or without that."""
    if isinstance(value, list | tuple):
        return [_marked(each, marks=marks) for each in value]
    if not isinstance(value, Mapping):
        return value
    known = {name: _marked(each, marks=marks) for name, each in value.items() if name != UNSKIPPED}
    return known | {UNSKIPPED: True} if marks and ("worker_info" in value or "lanes" in value) else known
