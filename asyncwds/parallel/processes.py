"""Processes and the one that started them: of Ctrl-C, which all of a terminal get, that one ends the others; and they end when it
has ended, however that came about.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
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


PATIENCE = 5.0
"""[s] for the main thread to clean up."""
AGAIN = 0.1  # [s]
LONGER = 15.0
"""[s] for what others end by: workers of a DataLoader look every 5 s."""
LIFELINE = "asyncwds lifeline"


def end_with_parent() -> None:
    """To be called once, in a process that multiprocessing started.

    A thread, since the main one may be in a stage for long. The system's own means (PR_SET_PDEATHSIG) ends a process when the
    thread that started it ends, which here may be that of an `async for`.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait, args=(parent.sentinel,), name=LIFELINE, daemon=True).start()


def end_after_parent(patience: float = LONGER) -> None:
    """The same for workers of others, which have so long to end by themselves. It may be called again.

    Those of a DataLoader look whether the process is still there that was their parent when they had begun: where theirs was killed
    before that, they stay for ever.
    """
    parent = parent_process()
    if parent is not None and all(thread.name != LIFELINE for thread in threading.enumerate()):
        threading.Thread(target=_wait, args=(parent.sentinel, patience), name=LIFELINE, daemon=True).start()


def _wait(sentinel: int, patience: float = 0.0) -> None:
    wait([sentinel])
    time.sleep(patience)
    os._exit(1)  # nobody is left who would want anything


def interrupt_at_end_of(line: Connection) -> None:
    """Once the other end of the line is closed, or its process has ended, the main thread gets SIGTERM, and `PATIENCE` to end."""
    main = threading.main_thread().ident
    assert main is not None
    threading.Thread(target=_wait_and_interrupt, args=(line, main), name=LIFELINE, daemon=True).start()


def _wait_and_interrupt(line: Connection, main: int) -> None:
    wait([line])
    for _ in range(round(PATIENCE / AGAIN)):  # one may come while a finalizer runs, in which it is lost
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(AGAIN)
    os._exit(1)
