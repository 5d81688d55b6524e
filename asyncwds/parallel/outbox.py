"""The side of a process: writes batches to its slots, and waits where the consumer is slower."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, ParamSpec, TypeVar

from asyncwds.parallel.lending import LendingSlots, Segment
from asyncwds.parallel.messages import Batch, End, Op, receive_command, send_message
from asyncwds.parallel.packing import Packed, Place
from asyncwds.parallel.segments import Ring
from asyncwds.runtime.state_changes import StateChange

P = ParamSpec("P")
R = TypeVar("R")


class OutboxClosed(Exception):  # noqa: N818 - it is no error
    """The process that iterates has closed its ends, or has ended."""


class Outbox:
    """`begin`, and then `deliver` each batch as long as that returns True, and `finish`."""

    def __init__(self, messages: Connection, commands: Connection, prefetch: int, ring: Ring) -> None:
        self._messages = messages
        self._commands = commands
        self._prefetch = prefetch
        self.slots = LendingSlots(ring, self._obey_if_told)
        self._wanted: int | None = None  # the iteration to work on
        self._begun: int | None = None
        self._has_ended = False
        self._credit = 0  # batches that may be sent

    def begin(self) -> bool:
        """Waits for the next iteration to be asked for; False at the end."""
        while not self._has_ended and self._wanted in (None, self._begun):
            self._obey()
        self._begun = self._wanted
        return not self._has_ended

    def deliver(self, item: Any) -> bool:
        """False where nobody wants more of this iteration. Raises SharedMemoryError, and what pickling raises."""
        segment, places = self.slots.fill(Packed(item), self._obey)
        while self._commands.poll() or (self._is_wanted() and not self._credit):
            self._obey()
        if not self._is_wanted():
            self.slots.give_back(segment.number)
            return False
        self._credit -= 1
        self._send(segment, places)
        return True

    def finish(self, failure: bytes | None = None, change: StateChange | None = None) -> None:
        """The iteration has come to its end, or to an error."""
        if self._begun is not None:
            _unless_closed(send_message, self._messages, End(self._begun, failure, change))

    def _is_wanted(self) -> bool:
        return self._wanted == self._begun and not self._has_ended

    def _send(self, segment: Segment, places: list[Place]) -> None:
        descriptor, segment.unsent = segment.unsent, None
        _unless_closed(send_message, self._messages, Batch(self._begun or 0, segment.number, places, descriptor is not None))
        if descriptor is not None:
            _unless_closed(send_handle, self._messages, descriptor, os.getppid())
            os.close(descriptor)

    def _obey_if_told(self) -> bool:
        """Does what was commanded, if something was. Where the other side has ended, `deliver` and `begin` find that."""
        try:
            if self._commands.poll():
                self._obey()
                return True
        except (OSError, OutboxClosed):
            pass
        return False

    def _obey(self) -> None:
        """Waits for a command, and does it."""
        op, number = _unless_closed(receive_command, self._commands)
        match op:
            case Op.BEGIN:
                self._wanted, self._credit = number, self._prefetch
            case Op.STOP:
                self._wanted = None
            case Op.TAKE:
                self._credit += 1
            case Op.FREE:
                self.slots.give_back(number)
            case Op.QUIT:
                self._has_ended = True


def _unless_closed(function: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
    try:
        return function(*args, **options)
    except (EOFError, OSError) as error:
        raise OutboxClosed from error
