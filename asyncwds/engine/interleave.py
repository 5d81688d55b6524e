"""Which shards come next: announced to stores that want to know, then opened, then read in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from asyncwds.engine.parts import ShardRun, run_of
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import AcceptsHints

NEAR = 4
"""The first shards are not announced: they are read before anything could come of it."""
FAR = 32
"""Shards that are known beyond the one that is begun next."""
AT_ONCE = 8
"""Shards in one announcement, which may be a request."""


class Interleave:
    """Draws shards from a plan, and has `slots` of them read in turn; with None, all that are open, in any order.

    Shards may be opened before they are read. `drawn` is called with each. With `begun` it goes on in the middle of a plan, of
    which the first `entered` shards are left out of `shards`; `gap` is where in the rotation one of them has ended.
    """

    def __init__(  # noqa: PLR0917 - what a position consists of
        self,
        shards: Iterator[Shard | None],
        slots: int | None,
        drawn: Callable[[ShardRun], None],
        begun: Sequence[ShardRun] = (),
        entered: int = 0,
        gap: int | None = None,
    ) -> None:
        self.reading = list(begun)  # in rotation, or all that are open
        self.entered = entered  # shards of the plan that are or were in there
        self.turn = 0  # index in `reading` of the shard to be read next
        self.exhausted = False  # the plan has ended; before that it may say None: the next shard is not known yet
        self.plan_error: Exception | None = None
        self.slots = slots
        self._shards = enumerate(shards, entered)
        self._drawn = drawn
        self._open = tuple(self.reading)
        self._ahead: deque[ShardRun] = deque()  # opened before the reader came to them, in plan order
        self._gap = gap  # where in the rotation a shard has ended

    def current(self) -> ShardRun | None:
        """The shard to be read next; None when the plan is done or has no shard yet. Without slots, the first open one."""
        if self.slots is not None:
            self._fill(self.slots)
            if len(self.reading) < self.slots and not self.exhausted:
                return None  # the rotation must not depend on when the next shard becomes known
        elif not self.reading:
            self.open()
        if not self.reading:
            return None
        self.turn %= len(self.reading)
        return self.reading[self.turn]

    def next_turn(self) -> None:
        self.turn += 1

    def open(self) -> ShardRun | None:
        """The plan's next shard, to be read when its turn comes."""
        run = self._draw()
        if run is not None:
            if self.slots is None:
                self._enter(len(self.reading), run)
            else:
                self._ahead.append(run)
        return run

    def open_shards(self) -> tuple[ShardRun, ...]:
        """What is in `reading`."""
        return self._open

    def _enter(self, index: int, run: ShardRun) -> None:
        self.reading.insert(index, run)
        self._open = tuple(self.reading)
        self.entered += 1

    def remove(self, run: ShardRun) -> None:
        index = self.reading.index(run)
        del self.reading[index]
        self._open = tuple(self.reading)
        self._gap = index
        if index < self.turn:
            self.turn -= 1

    def _fill(self, slots: int) -> None:
        while len(self.reading) < slots and (run := self._ahead.popleft() if self._ahead else self._draw()):
            # The newcomer takes the place of the one that ended, so that the rotation depends on the plan alone.
            self._enter(len(self.reading) if self._gap is None else self._gap, run)
            self._gap = None

    def _draw(self) -> ShardRun | None:
        if self.exhausted:
            return None
        try:
            sequence, shard = next(self._shards)
        except StopIteration:
            self.exhausted = True
            return None
        except Exception as error:  # noqa: BLE001 - a user's splitter: raised once all shards before it are read
            self.exhausted = True
            self.plan_error = error
            return None
        if shard is None:
            return None
        run = run_of(shard, sequence)
        self._drawn(run)
        return run


def announce(shards: Iterator[Shard | None], fetcher: object) -> Iterator[Shard | None]:
    """The same shards; each is announced to the fetcher when it is `FAR` or less away. What the plan raises comes in its place.

    None among them says that the next one is not known yet. Nothing is taken from the plan early where the fetcher does not care
    for the first shard.
    """
    if not isinstance(fetcher, AcceptsHints):
        yield from shards
        return
    for first in shards:
        if first is None:
            yield None
        elif fetcher.foresees(first.url):
            yield from _announce_ahead(first, shards, fetcher)
        else:
            yield from chain([first], shards)


def _announce_ahead(first: Shard, shards: Iterator[Shard | None], fetcher: AcceptsHints) -> Iterator[Shard | None]:
    known = deque([first])
    told = NEAR  # how many of the known shards have been announced
    failure: Exception | None = None
    exhausted = False
    while known or not exhausted:
        while not exhausted and len(known) <= FAR:
            try:
                shard = next(shards)
            except StopIteration:
                exhausted = True
            except Exception as error:  # noqa: BLE001 - a user's splitter: raised after the shards before it
                exhausted, failure = True, error
            else:
                if shard is None:
                    break
                known.append(shard)
        if len(known) - told >= AT_ONCE or (exhausted and len(known) > told):
            fetcher.upcoming([shard.url for shard in list(known)[told:]])
            told = len(known)
        yield known.popleft() if known else None
        told = max(told - 1, 0)
    if failure is not None:
        raise failure
