"""What a loader and its processes say to each other: one message a batch, and a few bytes back.

Commands go by a pipe of their own, since they are also sent when the collector finds that a batch is not needed any more.
"""

from __future__ import annotations

import pickle
from enum import IntEnum
from multiprocessing.connection import Connection
from struct import Struct
from typing import NamedTuple

from asyncwds.parallel.packing import Place
from asyncwds.runtime.state_changes import StateChange

KEPT = 4
"""The most batches of one process that the consumer has without a copy."""


def ring_size(prefetch: int) -> int:
    """Slots of a process: for batches that wait, for those that the consumer has, and for the one that is being written.

    So there is one free to write to whenever the process makes a batch.
    """
    return prefetch + KEPT + 1


class Op(IntEnum):
    BEGIN = 1  # the iteration of this number, in place of any other
    STOP = 2  # the iteration: nobody wants more of it
    TAKE = 3  # one more batch may wait
    FREE = 4  # the slot of this number
    QUIT = 5


_COMMAND = Struct("<Bq")


def send_command(connection: Connection, op: Op, number: int = 0) -> None:
    connection.send_bytes(_COMMAND.pack(op, number))


def receive_command(connection: Connection) -> tuple[Op, int]:
    op, number = _COMMAND.unpack(connection.recv_bytes())
    return Op(op), number


class Batch(NamedTuple):
    """In a slot. Where `is_new`, the descriptor of its segment follows.

    A tuple, since the training waits while it is unpickled: a frozen dataclass takes 20 us more, and 60 with cold caches.
    """

    run: int
    slot: int
    places: list[Place]
    is_new: bool


class End(NamedTuple):
    """Of an iteration; `failure` is what `failures.pickled` made of the error that ended it, `change` what the end changes."""

    run: int
    failure: bytes | None = None
    change: StateChange | None = None


Message = Batch | End


def send_message(connection: Connection, message: Message) -> None:
    connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def receive_message(connection: Connection) -> Message:
    message: Message = pickle.loads(connection.recv_bytes())  # noqa: S301 - from our own process
    return message
