"""SIGTERM, by which schedulers and `timeout` end programs, ends a command as Ctrl-C does: nothing is left of what was under way."""

from __future__ import annotations

import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

from asyncwds.tools.report import INTERRUPTED, TERMINATED


class Interruption:
    """While it is entered, SIGTERM is a Ctrl-C, unless somebody has a handler for it; `status` tells which of them came."""

    status = INTERRUPTED
    _replaces = False

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            with suppress(ValueError):  # another thread than the main one can have no handlers
                signal.signal(signal.SIGTERM, self._interrupt)
                self._replaces = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None) -> None:
        if self._replaces:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _interrupt(self, _: int, frame: FrameType | None) -> None:
        self.status = TERMINATED
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):  # asyncio has one of its own
            handler(signal.SIGINT, frame)
        else:  # of a command in the background shells have SIGINT ignored
            raise KeyboardInterrupt
