"""A plan that tells stores ahead of time what will be read, where they can make use of that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Protocol, runtime_checkable

from asyncwds.shards.shard import Shard

NEAR = 4
"""The first shards are not announced: they are read before anything could come of it."""
FAR = 32
"""Shards that are known beyond the one that is begun next."""
AT_ONCE = 8
"""Shards in one announcement, which may be a request."""


@runtime_checkable
class AcceptsHints(Protocol):
    """A fetcher, or a store, that can make use of it."""

    def foresees(self, url: str) -> bool:
        """Whether anything would come of announcing this one."""
        ...

    def upcoming(self, urls: Sequence[str]) -> None:
        """These will be read some time soon. On the running loop; does not wait for what is done about it."""
        ...


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
