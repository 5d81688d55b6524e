"""Plans that tell ahead of time what will be read."""

from collections.abc import Iterator, Sequence
from itertools import count, islice

import pytest

from asyncwds.engine import announce
from asyncwds.engine.interleave import AT_ONCE, FAR, NEAR
from asyncwds.shards import Shard


class Listener:
    """What is announced to it, with how many shards were taken by then."""

    def __init__(self, *, cares: bool = True) -> None:
        self.cares = cares
        self.taken = 0
        self.told: list[tuple[int, list[str]]] = []

    def foresees(self, url: str) -> bool:
        return self.cares and url.endswith(".tar")

    def upcoming(self, urls: Sequence[str]) -> None:
        self.told.append((self.taken, list(urls)))


def shards(number: int) -> list[Shard]:
    return [Shard(f"{index}.tar", index) for index in range(number)]


def take(plan: Iterator[Shard | None], listener: Listener) -> list[Shard | None]:
    found = []
    for shard in plan:
        listener.taken += 1
        found.append(shard)
    return found


@pytest.mark.parametrize("number", [0, 1, NEAR, NEAR + 1, FAR, FAR + 1, FAR + 2, 3 * FAR])
def test_each_shard_but_the_first_ones_is_announced_once_and_in_time(number: int) -> None:
    listener = Listener()
    assert take(announce(iter(shards(number)), listener), listener) == shards(number)
    assert [url for _, urls in listener.told for url in urls] == [shard.url for shard in shards(number)[NEAR:]]
    for taken, urls in listener.told:
        assert int(urls[0].removesuffix(".tar")) >= taken + min(taken, 1) * (FAR - AT_ONCE)
        assert len(urls) <= FAR + 1


def test_a_plan_without_end_is_read_ahead_no_further_than_far() -> None:
    drawn = []

    def endless() -> Iterator[Shard]:
        for index in count():
            drawn.append(index)
            yield Shard(f"{index}.tar", index)

    assert [shard.index for shard in islice(announce(endless(), Listener()), 100)] == list(range(100))
    assert len(drawn) == 100 + FAR


def test_what_the_plan_raises_comes_in_its_place() -> None:
    def broken() -> Iterator[Shard]:
        yield from shards(7)
        raise ZeroDivisionError

    listener, found = Listener(), []
    with pytest.raises(ZeroDivisionError):
        for shard in announce(broken(), listener):
            found.append(shard)
    assert found == shards(7)
    assert listener.told == [(0, ["4.tar", "5.tar", "6.tar"])]


def test_shards_that_are_not_known_yet_hold_nothing_up() -> None:
    known = shards(6)
    plan = [None, known[0], None, known[1], known[2], None, None, *known[3:]]
    listener = Listener()
    assert [shard for shard in announce(iter(plan), listener) if shard is not None] == known
    assert [url for _, urls in listener.told for url in urls] == ["4.tar", "5.tar"]


def test_while_nothing_is_known_it_says_so() -> None:
    foretelling = announce(iter([None, Shard("0.tar", 0), None, None]), Listener())
    assert [next(foretelling) for _ in range(3)] == [None, Shard("0.tar", 0), None]


@pytest.mark.parametrize("listener", [Listener(cares=False), object()], ids=["does not care", "cannot"])
def test_nothing_is_taken_early_for_nobody(listener: object) -> None:
    plan = iter(shards(10))
    foretelling = announce(plan, listener)
    assert next(foretelling).index == 0
    assert next(plan).index == 1
    assert [shard.index for shard in foretelling] == list(range(2, 10))
