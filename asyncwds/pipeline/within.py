"""Which pass of which dataset within a pipeline samples came through: the number of that stands above those of their shards.

So what stages hold behind a mix can be made again. A pass is told by its path: of each mix the number of the member, of each
dataset the epoch of its pass and its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from asyncwds.engine.positions import HeldShard, pack_shards
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.held import Ref
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.samples import SHARD_BITS, SHARD_MASK, Sample

Path = tuple[int, ...]
UNKNOWN = "it holds items of a dataset within, of which nobody can make single ones again"


@dataclass(slots=True)
class ShardsOf:
    """What is known of the shards of a dataset, of which samples were given."""

    urls: Sequence[str]
    known: dict[int, HeldShard]

    def agrees(self, others: Mapping[int, HeldShard]) -> bool:
        return all(self.known.get(index, shard) == shard for index, shard in others.items())


class PassNumbers:
    """Of one iteration of the outermost pipeline. They are given where they are `wanted`: where a stage may hold items."""

    def __init__(self) -> None:
        self.wanted = False
        self.batches = 0  # whether datasets give some, as `batches_behind` says it
        self.refusal = UNKNOWN
        self._paths: list[Path] = [()]
        self._numbers: dict[Path, int] = {}
        self._shards: dict[int, ShardsOf] = {}  # by the number of the pass; passes of a dataset share one
        self._of_dataset: dict[Path, ShardsOf] = {}
        self._open: dict[int, Callable[[], Mapping[int, HeldShard]]] = {}

    def number(self, path: Path) -> int:
        number = self._numbers.get(path)
        if number is None:
            number = self._numbers[path] = len(self._paths)
            self._paths.append(path)
        return number

    def follow(self, number: int, urls: Sequence[str], known: Callable[[], Mapping[int, HeldShard]]) -> None:
        """The pass that has the number is open."""
        self._open[number] = known
        self._shards.setdefault(number, ShardsOf(urls, {})).urls = urls

    def end(self, number: int) -> None:
        if number in self._open:
            self.know(number, self._open.pop(number)())

    def know(self, number: int, known: Mapping[int, HeldShard]) -> None:
        """Of shards of a pass. One that was replaced since an earlier pass is another one."""
        own = self._shards.get(number, ShardsOf((), {}))
        shards = self._of_dataset.setdefault(self._paths[number][:-2], own)
        every = {**own.known, **known}
        if shards is not own and not shards.agrees(every):
            shards = self._of_dataset[self._paths[number][:-2]] = own
        shards.known.update(every)
        shards.urls = shards.urls or own.urls
        self._shards[number] = shards

    def pack(self, indexes: Iterable[int], prefix: Path) -> dict[str, Any]:
        """Of passes and shards, by the numbers in origins; paths as they are from this one on.

        Raises SpecError where some have no number.
        """
        found = [(number, list(shards)) for number, shards in groupby(sorted(indexes), lambda index: index >> SHARD_BITS)]
        if found and not found[0][0]:
            raise SpecError(self.refusal)
        for number, _ in found:
            self.know(number, self._open.get(number, dict)())
        datasets = list({id(self._shards[number]): self._shards[number] for number, _ in found}.values())
        used: list[set[int]] = [set() for _ in datasets]
        passes = []
        for number, shards in found:
            place = next(place for place, each in enumerate(datasets) if each is self._shards[number])
            used[place].update([shard & SHARD_MASK for shard in shards])
            passes.append([number, list(self._paths[number][len(prefix) :]), place])
        packed = [pack_shards(each.known, sorted(own), each.urls) for each, own in zip(datasets, used, strict=True)]
        return {"passes": passes, "datasets": packed}


@dataclass(frozen=True)
class Within:
    """Where in a pipeline something stands."""

    numbers: PassNumbers
    path: Path = ()

    def step(self, *numbers: int) -> Within:
        return Within(self.numbers, (*self.path, *numbers))

    @property
    def batches(self) -> int:
        return self.numbers.batches

    def pack(self, indexes: Iterable[int]) -> dict[str, Any]:
        return self.numbers.pack(indexes, self.path)

    def know(self, shards: Mapping[int, Mapping[int, HeldShard]]) -> None:
        """Those of which samples were held, of passes, when the state was taken that this goes on from."""
        for number, known in shards.items():
            self.numbers.know(number, known)

    def numbered_as_here(self, state: Any) -> dict[int, int]:
        """The numbers of passes here, by those in a state. Raises SpecError for what does not say them."""
        try:
            return {number: self.numbers.number((*self.path, *path)) for number, path, _ in state["shards"]["passes"]}
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"not what a state says of passes within: {show_value(state)}") from error


class NumberedStream:
    """The items of a pass, whose samples have its number from here on. 0 is that of all that cannot be made again."""

    def __init__(self, stream: Any, numbers: PassNumbers, number: int) -> None:
        self._stream = stream
        self._numbers = numbers
        self._above = number << SHARD_BITS
        self._number = number
        self._items: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        if self._items is None:
            items = iter(self._stream)
            self._items = numbered(items, self._above) if self._numbers.wanted else items
        return self._items

    def __next__(self) -> Any:
        return next(iter(self))

    def lineage(self) -> tuple[SampleTrace, ...]:
        found: tuple[SampleTrace, ...] = self._stream.lineage()
        return with_number(found, self._above) if self._numbers.wanted else found

    def close(self) -> None:
        self._numbers.end(self._number)
        self._stream.close()

    def interrupt(self) -> None:
        self._stream.interrupt()


class UnnumberedItems:
    """Of what does not say through which pass they came: what may be in them is of another pipeline's passes."""

    def __init__(self, items: Iterator[Any], numbers: PassNumbers) -> None:
        self._items = items
        self._numbered = numbered(items, 0) if numbers.wanted else items
        for name in ("close", "interrupt"):
            if hasattr(items, name):
                setattr(self, name, getattr(items, name))

    def __iter__(self) -> Iterator[Any]:
        return self._numbered

    def __next__(self) -> Any:
        return next(self._numbered)

    def lineage(self) -> tuple[SampleTrace, ...]:
        lineage: Callable[[], tuple[SampleTrace, ...]] | None = getattr(self._items, "lineage", None)
        return () if lineage is None else with_number(lineage(), 0)


def numbered(items: Iterator[Any], above: int) -> Iterator[Any]:
    latest, number = -1, above  # samples of a shard share an object: its number is made once (150 -> 100 ns)
    for item in items:
        if type(item) is Sample:
            try:
                shard, ordinal, offset = item._origin  # noqa: SLF001 - an Origin would be made for each
                if shard is not latest:
                    latest, number = shard, above | shard & SHARD_MASK
                item._origin = (number, ordinal, offset)  # noqa: SLF001 - as above
            except AttributeError:
                pass
        elif type(item) is list:
            for _ in numbered(iter(item), above):
                pass
        yield item


def with_number(traces: tuple[SampleTrace, ...], above: int) -> tuple[SampleTrace, ...]:
    return tuple([(url, key, origin and (above | origin[0] & SHARD_MASK, *origin[1:])) for url, key, origin in traces])


def pass_of(ref: Ref) -> int:
    return ref[0] >> SHARD_BITS


def plain(ref: Ref) -> Ref:
    """As the dataset itself says it."""
    shard, ordinal, offset = ref
    return shard & SHARD_MASK, ordinal, offset


def renumbered(ref: Ref, numbers: Mapping[int, int]) -> Ref:
    """Raises SpecError where a state does not say what pass it is of."""
    shard, ordinal, offset = ref
    if shard >> SHARD_BITS not in numbers:
        raise SpecError(f"a state does not say through which dataset the sample {plain(ref)} came")
    return numbers[shard >> SHARD_BITS] << SHARD_BITS | shard & SHARD_MASK, ordinal, offset
