"""Errors with samples in stages: which stage had which sample, and what the handler says.

For whoever writes a stage: make it a dataclass with a field `handler`, and pass each error of a sample to `handled`. That
is all: in a pipeline the stage gets a handler that also counts, so that what was skipped stands in
`ds.stats().samples_failed`, and stages know nothing of counters.
"""

from __future__ import annotations

from asyncwds.errors import SpecError
from asyncwds.pipeline.lineage import SampleTrace, describe_traces
from asyncwds.runtime.handlers import Handler, ask


def handled(error: Exception, handler: Handler, stage: str, sample: object) -> bool:
    """Asks the handler about an error with a sample, after noting in it which stage had which sample.

    A SpecError is raised, whatever the handler: it says that the pipeline is wrong, as where a library is missing, and
    skipping would lose every sample one by one.
    """
    note(error, stage, sample)
    return goes_on(error, handler)


def goes_on(error: Exception, handler: Handler) -> bool:
    """What the handler says to an error, but a SpecError is raised: see `handled`."""
    if isinstance(error, SpecError):
        raise error
    return ask(handler, error)


def note(error: Exception, stage: str, sample: object) -> None:
    key = sample.get("__key__") if isinstance(sample, dict) else None
    error.add_note(f"in stage {stage}" + (f", sample {key!r}" if key is not None else ""))


def note_place(error: Exception, stage: str, traces: tuple[SampleTrace, ...]) -> None:
    """Says in the error which stage worked on which samples of which shards."""
    error.add_note(", ".join(filter(None, [f"in stage {stage}", describe_traces(traces)])))


def is_noted(error: BaseException) -> bool:
    return any(note.startswith("in stage ") for note in getattr(error, "__notes__", ()))
