"""How far a consumer has come in the stream of an engine, and an engine that goes on from there.

The engine is ahead of its consumer, so it is not asked. Each run of samples that it gives out says how the rotation of shards
stood then (`Turn`), and that and the number of samples taken are the position: nothing is counted for each sample.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from zlib import crc32

from asyncwds.engine.blocks import Block
from asyncwds.engine.parts import ShardRun
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.shards.shard import Begin, Limit, Shard

_MOST = 2**62


@dataclass(frozen=True, slots=True)
class OpenShard:
    """A shard that is read to before the sample `wanted` (an ordinal).

    `ordinal` and `offset` [bytes] are of the first sample to be read: that one or one before it. `identity` is of the object.
    `limit` is not in a state: the plan has it.
    """

    sequence: int
    index: int
    url: str
    wanted: int = 0
    ordinal: int = 0
    offset: int = 0
    identity: str | None = None
    limit: Limit | None = None

    def rest(self) -> Shard:
        begin = Begin(self.wanted, self.ordinal, self.offset, self.identity)
        return Shard(self.url, self.index, None if begin == Begin() else begin, self.limit)


@dataclass(frozen=True, slots=True)
class Position:
    """`entered` shards of the plan have been begun, of which some are open, in the order of the rotation.

    `turn` is whose turn it is, `left` how many samples it has left, and `gap` where a shard has ended that no other one has
    replaced yet.
    """

    entered: int
    open: tuple[OpenShard, ...]
    turn: int = 0
    left: int = 0
    gap: int | None = None


def with_limits(position: Position, entered: Sequence[Shard]) -> Position:
    """The same, with the limits of its shards; `entered` are those of the plan that have been begun."""
    return replace(position, open=tuple([replace(shard, limit=entered[shard.sequence].limit) for shard in position.open]))


class Turn(NamedTuple):
    """`samples` many of the shard `run`, as they were given out; `left` with them, where turns have a number of samples.

    `ends`: they are its last ones.
    """

    runs: tuple[ShardRun, ...]
    turn: int
    left: int
    entered: int
    run: ShardRun
    samples: int
    ends: bool


class Delivered:
    """What a consumer has taken of blocks, and where it stands."""

    def __init__(self, turn_samples: int, start: Position | None = None) -> None:
        self._turn_samples = turn_samples
        self._start = start or Position(0, ())
        self._latest: dict[int, tuple[int, int]] = {}  # of each open shard the ordinal and offset of the last sample, by sequence
        self._first = {shard.sequence: shard for shard in self._start.open}
        self._block: Block | None = None
        self._items: Iterator[Any] = iter(())
        self._turn: Turn | None = None  # the last one of blocks that were taken whole
        self.known: dict[int, HeldShard] = {}
        """Shards of which samples were taken, by index."""

    def samples(self, block: Block) -> Iterator[Any]:
        """Those of the next block, to be taken as they are."""
        if self._block is not None and self._block.turns:
            self._turn = self._take(self._block, len(self._block.samples))
        self._block = block
        self._items = iter(block.samples)
        return self._items

    def _take(self, block: Block, taken: int) -> Turn | None:
        """Notes the last samples of turns; returns the one that has the last sample of all."""
        found, stop = self._turn, 0
        for turn in block.turns:
            if stop >= taken:
                break
            stop += turn.samples
            run = turn.run
            self._latest[run.sequence] = block.samples[min(stop, taken) - 1]._origin[1:]  # noqa: SLF001 - as in the reader
            if run.shard.index not in self.known or not run.seekable:
                self.known[run.shard.index] = HeldShard(run.shard.url, mark_of(run.identity), run.seekable)
            found = turn
        if found is not None and len(self._latest) > 2 * len(found.runs) + 8:
            still = {run.sequence for run in found.runs}
            self._latest = {sequence: seen for sequence, seen in self._latest.items() if sequence in still}
        return found

    def in_hand(self) -> int:
        """Samples taken of the latest block."""
        return 0 if self._block is None else len(self._block.samples) - self._items.__length_hint__()  # type: ignore[attr-defined]

    def position(self) -> Position:
        block = self._block
        taken = self.in_hand()
        turn = self._turn if block is None or not taken else self._take(block, taken)
        if turn is None:
            return self._start
        rest, following = 0, None
        if block is not None and taken:
            rest = _rest_of_turn(block.turns, taken)
            following = block.samples[taken]._origin[1:] if rest else None  # noqa: SLF001 - as above
        return self._after(turn, turn.samples - rest, following)

    def _after(self, turn: Turn, given: int, following: tuple[int, int] | None) -> Position:
        index, left, gap = turn.turn, 0, None
        ended = turn.ends and given == turn.samples
        if self._turn_samples:
            left = turn.left - given
            if left == 0:
                # It keeps its place until its next turn: what takes that then depends on the shards that end before.
                index, left, ended = index + 1, self._turn_samples, False
        runs = turn.runs
        if ended:
            gap, left = runs.index(turn.run), self._turn_samples
            runs = runs[:gap] + runs[gap + 1 :]
        shards = [self._open_shard(run, following if run is turn.run else None) for run in runs]
        return Position(turn.entered, tuple(shards), index, left, gap)

    def _open_shard(self, run: ShardRun, following: tuple[int, int] | None) -> OpenShard:
        shard, sequence = run.shard, run.sequence
        latest = self._latest.get(sequence)
        if latest is None:
            return self._first.get(sequence) or OpenShard(sequence, shard.index, shard.url, *(shard.begin or ()))
        wanted = latest[0] + 1
        if not run.seekable:
            return OpenShard(sequence, shard.index, shard.url, wanted, identity=run.identity)
        ordinal, offset = following or latest
        return OpenShard(sequence, shard.index, shard.url, wanted if following is None else ordinal, ordinal, offset, run.identity)


def _rest_of_turn(turns: Sequence[Turn], taken: int) -> int:
    """How many samples of the turn that has the sample taken last are not taken."""
    stop = 0
    for turn in turns:
        stop += turn.samples
        if stop >= taken:
            return stop - taken
    return 0


@dataclass(frozen=True, slots=True)
class HeldShard:
    """A shard of which samples are to be read again: each by itself if it is `seekable`.

    `mark` is made of the identity of the object; 0 where that is not known.
    """

    url: str
    mark: int
    seekable: bool


def mark_of(identity: str | None) -> int:
    """15 bits: a state may have a thousand of them."""
    return 0 if identity is None else 1 + crc32(identity.encode()) % 0x7FFE


def pack_shards(known: Mapping[int, HeldShard], indexes: Sequence[int], urls: Sequence[str]) -> dict[str, Any]:
    """Two bytes for each of the shards, and the urls that the list does not have."""
    shards = [known[index] for index in indexes]
    marks = struct.pack(f"<{len(shards)}H", *[shard.mark << 1 | shard.seekable for shard in shards])
    others = {
        str(index): shard.url
        for index, shard in zip(indexes, shards, strict=True)
        if index >= len(urls) or urls[index] != shard.url
    }
    return {"marks": b64encode(marks).decode(), "urls": others}


def unpack_shards(packed: Any, indexes: Sequence[int], urls: Sequence[str]) -> dict[int, HeldShard]:
    """Raises SpecError for what is nothing of the kind."""
    try:
        marks = struct.unpack(f"<{len(indexes)}H", b64decode(packed["marks"]))
        return {
            index: HeldShard(packed["urls"].get(str(index)) or urls[index], mark >> 1, bool(mark & 1))
            for index, mark in zip(indexes, marks, strict=True)
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, struct.error) as error:
        raise SpecError(f"not what a state says of shards: {show_value(packed)}") from error


def as_json(position: Position, urls: Sequence[str]) -> dict[str, Any]:
    """A url stands in it where it is not the one that the list has for its shard."""
    known = len(urls)
    return {
        "entered": position.entered,
        "turn": position.turn,
        "left": position.left,
        "gap": position.gap,
        "open": [
            [shard.sequence, shard.index, shard.wanted, shard.ordinal, shard.offset, shard.identity]
            + ([] if shard.index < known and urls[shard.index] == shard.url else [shard.url])
            for shard in position.open
        ],
    }


def from_json(state: Any, urls: Sequence[str]) -> Position:
    """Raises SpecError for what is no position."""
    try:
        shards = [_open_shard(each, urls) for each in state["open"]]
        entered, turn, left = _counts(state["entered"], state["turn"], state["left"])
        return Position(entered, tuple(shards), turn, left, None if state["gap"] is None else _counts(state["gap"])[0])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SpecError(f"not the position of a stream of shards: {show_value(state)}") from error


def _open_shard(saved: Sequence[Any], urls: Sequence[str]) -> OpenShard:
    *numbers, identity = saved[:6]
    sequence, index, wanted, ordinal, offset = _counts(*numbers)
    url = saved[6] if len(saved) > 6 else urls[index]
    if not isinstance(url, str) or not isinstance(identity, str | None):
        raise TypeError(saved)
    return OpenShard(sequence, index, url, wanted, ordinal, offset, identity)


def _counts(*values: Any) -> tuple[Any, ...]:
    if not all(type(value) is int and 0 <= value < _MOST for value in values):
        raise ValueError(values)
    return values
