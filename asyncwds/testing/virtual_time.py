"""An event loop whose clock jumps: what takes minutes on a slow link is simulated in a second, and always in the same way."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: where nothing is ready, the clock is set to when the loop wanted to be woken."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for ever")
        if not ready and timeout:
            self.now += timeout
        return ready


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, selector: _JumpingSelector) -> None:
        super().__init__(selector)
        self._clock = selector

    def time(self) -> float:
        return self._clock.now


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on a loop whose time [s] begins at 0 and passes only while all tasks sleep. For code without real I/O.

    Raises RuntimeError when all tasks wait and none of them for a time.
    """
    with asyncio.Runner(loop_factory=lambda: _VirtualTimeLoop(_JumpingSelector())) as runner:
        return runner.run(main)
