"""Ctrl-C while the interpreter ends and threads, files and commands are cleaned up."""

from __future__ import annotations

import atexit
import os
import signal
from time import monotonic
from types import FrameType

GRACE = 2.0  # [s] for the cleaning up, of Ctrl-Cs in quick succession; a busy machine takes its time


def clean_up_undisturbed() -> None:
    """To be called after a finalizer was made: Ctrl-C does not come between its lines at exit, where it leaves things undone
    and a traceback. It ends the process as ever when it comes later.
    """
    # Exit handlers run in reverse order, and finalizers have a single one, which is registered with the first of them.
    atexit.unregister(_hold_off)
    atexit.register(_hold_off)


def _hold_off() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not in the place of a handler of the user's
        until = monotonic() + GRACE

        def patient(number: int, _: FrameType | None) -> None:
            if monotonic() > until:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        signal.signal(signal.SIGINT, patient)
