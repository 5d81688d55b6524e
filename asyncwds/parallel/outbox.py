"""The side of a process: writes batches to its slots, and waits where the consumer is slower."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, ParamSpec, TypeVar

from asyncwds.parallel.messages import Batch, End, Op, receive_command, send_message
from asyncwds.parallel.packing import Packed
from asyncwds.parallel.segments import Ring, capacity_for, check_room, create_segment

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
        self._ring = ring
        self._free = list(range(ring.slots))[::-1]  # the one that was used last comes next: so few are ever made
        self._segments: dict[int, mmap.mmap] = {}
        self._unsent: dict[int, int] = {}  # descriptors of segments that the other side has not been given
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
        packed = Packed(item)
        while not self._free:  # what frees one is under way
            self._obey()
        slot = self._free.pop()
        self._write(slot, packed)
        while self._commands.poll() or (self._is_wanted() and not self._credit):
            self._obey()
        if not self._is_wanted():
            self._free.append(slot)
            return False
        self._credit -= 1
        self._send(slot, packed)
        return True

    def finish(self, failure: bytes | None = None) -> None:
        """The iteration has come to its end, or to an error."""
        if self._begun is not None:
            _unless_closed(send_message, self._messages, End(self._begun, failure))

    def _is_wanted(self) -> bool:
        return self._wanted == self._begun and not self._has_ended

    def _write(self, slot: int, packed: Packed) -> None:
        import numpy as np  # noqa: PLC0415 - heavy

        segment = self._segments.get(slot)
        if segment is None or len(segment) < packed.nbytes:
            segment = self._replace(slot, capacity_for(packed.nbytes))
        packed.write(np.frombuffer(segment, np.uint8))

    def _replace(self, slot: int, nbytes: int) -> mmap.mmap:
        if not self._segments:
            check_room(nbytes, self._ring)
        if slot in self._unsent:
            os.close(self._unsent.pop(slot))
        self._segments.pop(slot, None)
        self._unsent[slot], self._segments[slot] = create_segment(nbytes, self._ring)
        return self._segments[slot]

    def _send(self, slot: int, packed: Packed) -> None:
        descriptor = self._unsent.pop(slot, None)
        message = Batch(self._begun or 0, slot, packed.places, is_new=descriptor is not None)
        _unless_closed(send_message, self._messages, message)
        if descriptor is not None:
            _unless_closed(send_handle, self._messages, descriptor, os.getppid())
            os.close(descriptor)

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
                self._free.append(number)
            case Op.QUIT:
                self._has_ended = True


def _unless_closed(function: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
    try:
        return function(*args, **options)
    except (EOFError, OSError) as error:
        raise OutboxClosed from error
