"""When a part that the reader waits for needs help. Plain state, fed with the time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from asyncwds.engine.parts import Part

LOOK_EVERY = 0.1  # [s] while the reader has to wait
SPLIT_AFTER = 0.5  # [s] of looking at one part: several answers of a bucket
LONGEST_PATIENCE = 60.0  # [s]: by then the storage has given the connection up itself


class Action(Enum):
    NONE = "it is coming along"
    SPLIT = "slow: half of it to another connection"
    RESTART = "stalled: the rest of it to another connection"


@dataclass(slots=True)
class Watch:
    """Looks at the part of a shard that the reader waits for, again and again.

    A storage waits for a stalled connection for as long as it may be the network's own pause, 20 s by default. The reader, which
    stands still meanwhile, cannot; asking again costs one request. Each time a part is started anew the patience with
    it doubles.
    """

    _part: Part | None = None
    _received: int = -1
    _stalled_since: float = 0.0
    _slow_since: float = 0.0

    def look(self, part: Part, now: float) -> Action:
        if part is not self._part:
            self._part, self._received, self._slow_since = part, -1, now
        if part.received != self._received or not part.answered:
            self._received, self._stalled_since = part.received, now
        if now - self._stalled_since >= part.patience:
            part.patience = min(LONGEST_PATIENCE, 2 * part.patience)
            self._stalled_since = now
            return Action.RESTART
        if now - self._slow_since >= SPLIT_AFTER and part.received:
            self._slow_since = now
            return Action.SPLIT
        return Action.NONE
