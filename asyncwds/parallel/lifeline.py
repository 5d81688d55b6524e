"""Ends a process when the one that started it has ended, however that came about."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

PATIENCE = 5.0
"""[s] for the main thread to clean up."""
AGAIN = 0.1  # [s]


def end_with_parent() -> None:
    """To be called once, in a process that multiprocessing started.

    A thread, since the main one may be in a stage for long. The system's own means (PR_SET_PDEATHSIG) ends a process when the
    thread that started it ends, which here may be that of an `async for`.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait, args=(parent.sentinel,), name="asyncwds lifeline", daemon=True).start()


def _wait(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)  # nobody is left who would want anything


def interrupt_at_end_of(line: Connection) -> None:
    """Once the other end of the line is closed, or its process has ended, the main thread gets SIGTERM, and `PATIENCE` to end."""
    main = threading.main_thread().ident
    assert main is not None
    threading.Thread(target=_wait_and_interrupt, args=(line, main), name="asyncwds lifeline", daemon=True).start()


def _wait_and_interrupt(line: Connection, main: int) -> None:
    wait([line])
    for _ in range(round(PATIENCE / AGAIN)):  # one may come while a finalizer runs, in which it is lost
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(AGAIN)
    os._exit(1)
