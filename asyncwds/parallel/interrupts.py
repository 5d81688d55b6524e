"""Ctrl-C and processes: all of a terminal get it, and the one that started the others ends them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """A process that is started here inherits it until it calls `ignore_interrupts`: Ctrl-C meanwhile prints no traceback."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def interrupted_on_termination() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt in here, as Ctrl-C does elsewhere: what is under way is cleaned up; later it is ignored."""
    show = sys.unraisablehook
    sys.unraisablehook = partial(_interrupt_again, show)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, _ignore)
        sys.unraisablehook = show


def _interrupt_again(show: Callable[[Any], object], unraisable: Any) -> None:
    """One that comes while a finalizer runs goes no further than that: the next SIGTERM interrupts once more."""
    if unraisable.exc_type is KeyboardInterrupt:
        signal.signal(signal.SIGTERM, _interrupt)
    else:
        show(unraisable)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, _ignore)  # a second one would disturb the cleaning up
    raise KeyboardInterrupt


def _ignore(*_: object) -> None:
    """A handler, and not SIG_IGN, which commands that the process starts would inherit."""
