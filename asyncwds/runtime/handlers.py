"""What to do about an error: WebDataset's handlers. They are called while the exception is being handled.

True skips the item and goes on; False ends the stage, as if its source had ended. Unlike WebDataset's, the warning
ones do not sleep, and the exception is left as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from asyncwds import checks
from asyncwds.formatting.texts import printable

Handler = Callable[[Exception], bool]


def reraise_exception(error: Exception) -> bool:
    """The default: nothing is skipped."""
    raise error


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


def ask(handler: Handler, error: Exception) -> bool:
    """What the handler says to an error: whether to go on."""
    return checks.is_true("a handler", handler(error))


def failure_text(error: Exception) -> str:
    """An error in one line, with the notes that say where it was."""
    return "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
