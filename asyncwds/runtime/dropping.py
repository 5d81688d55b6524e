"""The end of threads whose owner is closed or dropped: for how long that is waited for.

A `close`, and the exit of the interpreter, wait for it. An owner that is dropped may be so by the garbage collector, which runs in
the middle of any code: that may hold a lock without which the thread does not come to its end, as each executor of the standard
library takes one of the process. So a moment is waited, in which nearly all threads end, and the exit waits for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import finalize, ref

if TYPE_CHECKING:
    from threading import Thread

CLOSED = 30.0  # [s] for what cannot be interrupted, such as a read from a dead network disk, or a call of a user's function
DROPPED = 1.0  # [s]

_seconds = ContextVar("asyncwds_join_seconds", default=CLOSED)


def finalizer(owner: object, end: Callable[..., object], *args: Any) -> finalize[..., Any]:
    """Calls `end` once: by the result, at exit, or when the owner is dropped; then `join_seconds` are few in there."""
    return finalize(owner, _end, ref(owner), end, args)


def join_seconds() -> float:
    """For how long [s] whoever runs now may wait for a thread."""
    return _seconds.get()


def join_all(threads: Iterable[Thread]) -> None:
    """Waits for those that run, for `join_seconds` in all. From any thread, one of them too."""
    until = monotonic() + join_seconds()
    for thread in threads:
        if thread.is_alive():
            with suppress(RuntimeError):  # it is this one
                thread.join(max(0.0, until - monotonic()))
        if thread.is_alive() and join_seconds() < CLOSED:
            finalize(thread, _join, ref(thread))


def _end(owner: ref[Any], end: Callable[..., object], args: tuple[Any, ...]) -> None:
    if owner() is not None:  # closed, perhaps by what was dropped
        end(*args)
        return
    token = _seconds.set(DROPPED)
    try:
        end(*args)
    finally:
        _seconds.reset(token)


def _join(thread: ref[Thread]) -> None:
    if (running := thread()) is not None:  # at exit
        running.join(CLOSED)
