"""What to do about an error: WebDataset's handlers. They are called while the exception is being handled.

True skips the item and goes on; False ends the stage, as if its source had ended. Unlike WebDataset's, the warning
ones do not sleep, and the exception is left as it is.

For whoever writes a stage: make it a dataclass with a field `handler`, and pass each error of a sample to `handled`. That
is all: in a pipeline the stage gets a handler that also counts, so that what was skipped stands in
`ds.stats().samples_failed`, and stages know nothing of counters.
"""

from __future__ import annotations

import warnings

from asyncwds.engine.source import Handler, ask, failure_text, reraise_exception
from asyncwds.errors import SpecError
from asyncwds.formatting.escaping import printable
from asyncwds.pipeline.lineage import Trace, describe_traces

__all__ = [
    "Handler",
    "goes_on",
    "handled",
    "ignore_and_continue",
    "ignore_and_stop",
    "is_noted",
    "note",
    "note_place",
    "reraise_exception",
    "warn_and_continue",
    "warn_and_stop",
]


def ignore_and_continue(error: Exception) -> bool:  # noqa: ARG001 - the interface
    return True


def ignore_and_stop(error: Exception) -> bool:  # noqa: ARG001 - the interface
    return False


def warn_and_continue(error: Exception) -> bool:
    _warn(error)
    return True


def warn_and_stop(error: Exception) -> bool:
    _warn(error)
    return False


def _warn(error: Exception) -> None:
    warnings.warn(printable(failure_text(error)), stacklevel=3)


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


def note_place(error: Exception, stage: str, traces: tuple[Trace, ...]) -> None:
    """Says in the error which stage worked on which samples of which shards."""
    error.add_note(", ".join(filter(None, [f"in stage {stage}", describe_traces(traces)])))


def is_noted(error: BaseException) -> bool:
    return any(note.startswith("in stage ") for note in getattr(error, "__notes__", ()))
