"""What to do about an error: WebDataset's handlers. They are called while the exception is being handled.

True skips the item and goes on; False ends the stage, as if its source had ended. Unlike WebDataset's, the warning
ones do not sleep, and the exception is left as it is.
"""

from __future__ import annotations

import warnings

from asyncwds.engine.source import Handler, reraise_exception

__all__ = [
    "Handler",
    "handled",
    "ignore_and_continue",
    "ignore_and_stop",
    "note",
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
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    warnings.warn(f"{type(error).__name__}: {error}{notes}", stacklevel=3)


def handled(error: Exception, handler: Handler, stage: str, sample: object) -> bool:
    """Asks the handler about an error of user code, after noting in it which stage had which sample."""
    note(error, stage, sample)
    return handler(error)


def note(error: Exception, stage: str, sample: object) -> None:
    key = sample.get("__key__") if isinstance(sample, dict) else None
    error.add_note(f"in stage {stage}" + (f", sample {key!r}" if key is not None else ""))
