"""When a part that the reader waits for needs help. Plain state, fed with the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from asyncwds.engine.parts import Part, ShardRun

RESTARTS = 0.05  # of all requests, at most, and a few
LOOK_EVERY = 0.1  # [s] while the reader has to wait
SPLIT_AFTER = 0.5  # [s] of looking at one part: several answers of a bucket
PATIENCE = 0.5  # [s] without a byte, while the reader waits, until the rest of a part is started anew
LONGEST_PATIENCE = 60.0  # [s]: by then the storage has given the connection up itself


class Action(Enum):
    NONE = "it is coming along"
    SPLIT = "slow: half of it to another connection"
    RESTART = "stalled: the rest of it to another connection"


@dataclass(slots=True)
class LatePart:
    """Looks at the part of one shard that the reader waits for, again and again.

    A storage waits for a stalled connection for as long as it may be the network's own pause, 20 s by default. The reader, which
    stands still meanwhile, cannot; asking again costs one request. Each time a part is started anew the patience with
    it doubles, and is that with its rest.
    """

    _part: Part | None = None
    _patience: float = PATIENCE
    _rest: int | None = None  # where the rest of a part began that was started anew
    _received: int = -1
    _stalled_since: float = 0.0
    _slow_since: float = 0.0

    def look(self, part: Part, now: float) -> Action:
        if part is not self._part:
            if part.start != self._rest:
                self._patience = PATIENCE
            self._part, self._received, self._slow_since = part, -1, now
        if part.received != self._received or not part.answered:
            self._received, self._stalled_since = part.received, now
        if now - self._stalled_since >= self._patience:
            self._patience = min(LONGEST_PATIENCE, 2 * self._patience)
            self._stalled_since, self._rest = now, part.start + part.received
            return Action.RESTART
        if now - self._slow_since >= SPLIT_AFTER and part.received:
            self._slow_since = now
            return Action.SPLIT
        return Action.NONE


@dataclass(slots=True)
class LateParts:
    """What to do about the parts that the reader waits for."""

    _late: dict[ShardRun, LatePart] = field(default_factory=dict)

    def decide(self, reading: list[ShardRun], awaited: ShardRun | None, now: float) -> list[tuple[Part, Action]]:
        """For the part that is waited for; where the reader takes what comes first (None), for the next part of each shard."""
        self._late = {run: self._late.get(run) or LatePart() for run in reading}
        runs = reading if awaited is None else [awaited]
        return [(run.parts[0], self._late[run].look(run.parts[0], now)) for run in runs if run.parts]
