"""Which shards a process reads in an epoch, and in which order: a pure function of (urls, seed, epoch, place).

The steps are WebDataset's: split by node, split by worker, shuffle what is left. So a worker keeps its shards in all
epochs; only their order changes. In epoch 0 the order is the one that WebDataset has, in every epoch, for the same seed.

A splitter is a callable from the stream of shards to those that it keeps. A shard is `{"url": url, "index": i}` there,
`i` being its position in the full list of urls. What is yielded may be these, also with the url of a mirror in place of
their own, or urls of the list. If the splitter has an argument `place` that is not bound yet (no default, or None), it is
called as `splitter(shards, place=place)`, and else as `splitter(shards)`, as WebDataset does. Our own splitters and the
shuffle take indexes: a url is made when its shard is to be read.

Before the splits, a draw may take the place of the list: shards with replacement, or so many of each of several sets.

Our own splitters take the place that they are given, as datasets and pipelines do, and else find it themselves.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from random import Random
from typing import Any, TypeVar

from asyncwds.errors import SpecError
from asyncwds.runtime.worker_info import WorkerInfo, current_worker_info
from asyncwds.shards.shard import Shard

T = TypeVar("T")
Splitter = Callable[..., Iterable[Any]]
Draw = Callable[[int, int, int, WorkerInfo], Iterable[int]]
"""(number of shards, seed, epoch, place) → indexes of the shards of that epoch, in order."""

INITIAL = 100  # WebDataset's: shards that are gathered before the first is drawn


def plan(
    urls: Sequence[str],
    *,
    seed: int,
    epoch: int,
    place: WorkerInfo,
    nodesplitter: Splitter | None,
    workersplitter: Splitter | None,
    shardshuffle: int,
    draw: Draw | None = None,
) -> Iterator[Shard]:
    """The shards to read, lazily. They are drawn from a buffer of `shardshuffle` shards; below 2 they keep their order.

    Raises SpecError (from `single_node_only` at once) if a splitter refuses the place or yields what is no shard of the list.
    """
    indexes = range(len(urls)) if draw is None else draw(len(urls), seed, epoch, place)
    rng = Random(seed + epoch)  # noqa: S311 - an order, no secret
    splitters = [splitter for splitter in (nodesplitter, workersplitter) if splitter is not None]
    while splitters and (kept := kept_by(splitters[0], place)) is not None:
        indexes = indexes[kept] if isinstance(indexes, Sequence) else islice(indexes, kept.start, kept.stop, kept.step)
        del splitters[0]
    if not splitters:
        return (Shard(urls[index], index) for index in shuffle_items(indexes, shardshuffle, INITIAL, rng, array("q")))
    items: Iterable[Any] = ({"url": urls[index], "index": index} for index in indexes)
    for splitter in splitters:
        items = _split(splitter, items, place)
    return shuffle_items(_shards(items, urls), shardshuffle, INITIAL, rng)


@dataclass(frozen=True, slots=True)
class Resampled:
    """Draws shards with replacement, without end: at each place, and in each epoch, others."""

    def __call__(self, count: int, seed: int, epoch: int, place: WorkerInfo) -> Iterator[int]:
        # Of text, Random takes a hash that is the same in every process.
        rng = Random(f"shards {seed} {epoch} {place.rank} {place.worker}")  # noqa: S311 - an order, no secret
        while True:
            yield rng.randrange(count)


@dataclass(frozen=True, slots=True)
class Group:
    """A run of `count` shards of the list: all of them, or `choose` of them, or as many as `resample` draws with replacement."""

    count: int
    choose: int | None = None
    resample: int | None = None


@dataclass(frozen=True, slots=True)
class Sampled:
    """What each group gives, all together shuffled: the same at every place. Draw for draw WebDataset's after `set_epoch(seed)`."""

    groups: tuple[Group, ...]

    def __call__(self, count: int, seed: int, epoch: int, place: WorkerInfo) -> Sequence[int]:  # noqa: ARG002 - the interface
        rng = Random(seed + epoch)  # noqa: S311 - an order, no secret
        indexes = array("q")
        start = 0
        for group in self.groups:
            indexes.extend(_draw_indexes(range(start, start + group.count), group, rng))
            start += group.count
        rng.shuffle(indexes)
        return indexes


def _draw_indexes(indexes: Sequence[int], group: Group, rng: Random) -> Iterable[int]:
    if group.resample is not None:
        return rng.choices(indexes, k=group.resample)
    chosen = array("q", indexes)
    if group.choose is not None:
        rng.shuffle(chosen)
        del chosen[group.choose :]
    return chosen


def shuffle_items(  # noqa: PLR0917 - what a shuffle is made of
    items: Iterable[T],
    size: int,
    initial: int,
    rng: Random,
    held: MutableSequence[T] | None = None,
    changed: bytearray | None = None,
) -> Iterator[T]:
    """WebDataset's shuffle, draw for draw: uniform draws from a buffer of up to `size` items.

    The first item comes once `initial` are in the buffer; until it is full, two items go in for each one that comes out.
    `held` is the buffer: with what one held between two items, and its random numbers, another one goes on as that would have.
    An array holds numbers in a quarter of a list's memory. While the buffer is full, `changed` has a byte for each place, in which
    1 says that there is another item than before.
    """
    source = iter(items)
    initial = min(initial, size)
    buffer: MutableSequence[T] = [] if held is None else held
    while len(buffer) + 1 < size and (pair := list(islice(source, 2))):
        buffer.extend(pair)
        if len(buffer) >= initial:
            yield pick(buffer, rng)
    draw = rng.randrange
    marks = bytearray() if changed is None else changed
    marks.extend(bytes(len(buffer)))
    for item in source:  # as if it were appended, and one picked
        index = draw(len(buffer) + 1)
        if index < len(buffer):
            item, buffer[index] = buffer[index], item  # noqa: PLW2901 - an exchange
            marks[index] = 1
        yield item
    while buffer:
        yield pick(buffer, rng)


def pick(buffer: MutableSequence[T], rng: Random) -> T:
    """Takes a random item out of the buffer; the last one moves to its place."""
    index = rng.randrange(len(buffer))
    last = buffer.pop()
    if index == len(buffer):
        return last
    item, buffer[index] = buffer[index], last
    return item


def _split(splitter: Splitter, items: Iterable[Any], place: WorkerInfo) -> Iterable[Any]:
    return splitter(iter(items), place=place) if takes_place(splitter) else splitter(iter(items))


def takes_place(splitter: object) -> bool:
    """Whether there is an argument `place` that is not bound yet."""
    if not callable(splitter):
        return False  # the message of inspect's error would have all items of a list in it
    try:
        parameter = inspect.signature(splitter).parameters.get("place")
    except (ValueError, TypeError):  # some of Python's own callables (`list`) have no signature; others are no callables
        return False
    return parameter is not None and parameter.default in (None, inspect.Parameter.empty)


def _shards(items: Iterable[Any], urls: Sequence[str]) -> Iterator[Shard]:
    @cache
    def positions() -> dict[str, int]:  # only needed for splitters that yield items of their own
        return {url: index for index, url in reversed(list(enumerate(urls)))}

    for item in items:
        url = item.get("url") if isinstance(item, Mapping) else item
        index = item.get("index") if isinstance(item, Mapping) else None
        if index is None and isinstance(url, str):
            index = positions().get(url)
        if not isinstance(url, str) or not isinstance(index, int):
            given = url if isinstance(url, str) else None
            raise SpecError(
                f"a splitter must yield what it was given, or urls of the list; not this {type(item).__name__}", url=given
            )
        yield Shard(url, index)


def single_node_only(src: Iterable[T], group: Any = None, *, place: WorkerInfo | None = None) -> Iterable[T]:
    """The default nodesplitter: all shards, and a SpecError where there is more than one node, which would read the same."""
    _require_single_node(place or current_worker_info(group))
    return src


def split_by_node(src: Iterable[T], group: Any = None, *, place: WorkerInfo | None = None) -> Iterator[T]:
    """Every `world_size`-th shard, beginning with number `rank`; both in the process group, if one is given."""
    place = place if place is not None and group is None else current_worker_info(group)
    return islice(src, place.rank, None, place.world_size)


def split_by_worker(src: Iterable[T], *, place: WorkerInfo | None = None) -> Iterator[T]:
    """Every `num_workers`-th shard, beginning with number `worker`."""
    place = place or current_worker_info()
    return islice(src, place.worker, None, place.num_workers)


def kept_by(splitter: object, place: WorkerInfo) -> slice | None:
    """Which shards it keeps at a place, if it is one of these. Raises SpecError where `single_node_only` does."""
    if splitter is split_by_node:
        return slice(place.rank, None, place.world_size)
    if splitter is split_by_worker:
        return slice(place.worker, None, place.num_workers)
    if splitter is single_node_only:
        _require_single_node(place)
        return slice(0, None, 1)
    return None


def splits_by_itself(splitter: object) -> bool:
    """Whether it is one of these, for shards that each place draws for itself: they need no splitting."""
    return splitter in (single_node_only, split_by_node, split_by_worker)


def _require_single_node(place: WorkerInfo) -> None:
    if place.world_size > 1:
        raise SpecError(
            f"there are {place.world_size} nodes, and all would read the same shards: pass nodesplitter=split_by_node,"
            " or nodesplitter=None if that is what you want"
        )
