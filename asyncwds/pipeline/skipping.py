"""Leaves samples out where they are read, as if they had been taken and thrown away.

In the place of each comes a mark: a sample without fields. Stages that draw or count for each item, as a shuffle does, treat it as
the sample, so that all others come in the order in which they would have come; functions of stages in front of these are not called
for it. Behind the last of such stages, or at once where there is none, marks are dropped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asyncwds.errors import SkipWarning, redact
from asyncwds.pipeline.context import RunContext
from asyncwds.runtime.tally import Tally
from asyncwds.samples import Sample

MARK = "__left_out__"
SHOWN = 5  # of what was not found

Refs = Sequence[Sequence[int]]
"""Samples by the epoch of the pass, the index of their shard, and their ordinal."""


def is_mark(item: Any) -> bool:
    return isinstance(item, Sample) and MARK in item


def mark_for(sample: Sample) -> Sample:
    mark = Sample({"__key__": sample["__key__"], "__url__": sample["__url__"], MARK: True})
    mark._origin = sample._origin  # noqa: SLF001 - a property that sets it would cost as much as the rest
    return mark


class Skipping:
    """Which samples of a pass are left out: by key, by shard and key, and by url and ordinal, if it has the key of then."""

    def __init__(
        self,
        keys: frozenset[str],
        of_shards: Mapping[str, frozenset[str]],
        steps: Mapping[str, Mapping[int, str]],
        warned: set[str],
    ) -> None:
        self._keys = keys
        self._of_shards = of_shards
        self._steps = steps
        self._warned = warned
        self._urls: dict[str, tuple[frozenset[str], Mapping[int, str]]] = {}  # what is left out of the shards that were looked at
        self._found: set[tuple[str, str]] = set()

    def marked(self, items: Iterator[Sample], urls: Iterable[str]) -> Iterator[Sample]:
        """The items, which are of these shards, with a mark in the place of each that is left out."""
        known = [self._of(url) for url in urls]  # all are looked at, of which it is known then that they were read
        if not any(map(any, known)):
            return items
        return (mark_for(sample) if self.wants(sample) else sample for sample in items)

    def wants(self, sample: Sample) -> bool:
        url, key = sample["__url__"], sample["__key__"]
        keys, ordinals = self._of(url)
        if key in keys or ordinals.get(sample._origin[1]) == key:  # noqa: SLF001 - an Origin would be made for each
            self._found.add((url, key))
            return True
        return False

    def _of(self, url: str) -> tuple[frozenset[str], Mapping[int, str]]:
        known = self._urls.get(url)
        if known is None:
            named = [keys for name, keys in self._of_shards.items() if is_named(url, name)]
            known = self._urls[url] = self._keys.union(*named), self._steps.get(redact(url), {})
        return known

    def warn_of_missing(self, epoch: int, *, whole: bool) -> None:
        """At the end of a pass: about what should have been in it and was not. `whole`: all of the epoch was read here."""
        keys = {key for _, key in self._found}
        missing = sorted(map(repr, self._keys - keys)) if whole else []
        for name, wanted in sorted(self._of_shards.items()):
            read = {url for url in self._urls if is_named(url, name)}
            if read or whole:
                found = {key for url, key in self._found if url in read}
                missing += [repr((name, key)) for key in sorted(wanted - found)]
        for url in self._urls:
            gone = [key for key in self._of(url)[1].values() if (url, key) not in self._found]
            missing += [f"{key!r} of {redact(url)}" for key in gone]
        missing = [each for each in missing if each not in self._warned]
        self._warned.update(missing)
        if missing:
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            warnings.warn(
                f"skip names what did not occur in epoch {epoch}: {', '.join(missing[:SHOWN])}{more}", SkipWarning, stacklevel=2
            )


def is_named(url: str, name: str) -> bool:
    """By the whole url, or by how its path ends."""
    path = url.partition("?")[0]
    return name in (url, redact(url), path) or path.endswith("/" + name)


class SkippingPlaces:
    """The same by the places of the samples: what an iteration had left out of a pass that is made again."""

    def __init__(self, refs: Refs) -> None:
        self._refs = refs
        self._places: set[tuple[int, int]] = set()

    def of_pass(self, epoch: int) -> SkippingPlaces | None:
        self._places = {(shard, ordinal) for number, shard, ordinal in self._refs if number == epoch}
        return self if self._places else None

    def marked(self, items: Iterator[Sample], urls: Iterable[str]) -> Iterator[Sample]:  # noqa: ARG002 - the interface
        return (mark_for(sample) if self.wants(sample) else sample for sample in items)

    def wants(self, sample: Sample) -> bool:
        return sample._origin[:2] in self._places  # noqa: SLF001 - as above

    def warn_of_missing(self, epoch: int, *, whole: bool) -> None:
        """What was left out was there."""


@dataclass(frozen=True)
class Marks:
    """How far marks go in a pipeline: behind stage number `until` they are dropped."""

    until: int

    def context(self, number: int, base: int, context: RunContext) -> RunContext:
        return replace(context, passes_marks=True) if base < number <= self.until else context


def marks_of(stages: Sequence[Any], base: int) -> Marks:
    """Of the stages behind the one that reads shards, `base`."""
    until = base
    for number in range(base + 1, len(stages)):
        if getattr(stages[number], "counts_marks", False):
            until = number
        elif not getattr(stages[number], "passes_marks", False):
            break
    return Marks(until)


def without_marks(items: Iterable[Any], tally: Tally) -> Iterator[Any]:
    for item in items:
        if isinstance(item, Sample) and MARK in item:
            tally.leave_out(item["__url__"], item["__key__"], item._origin)  # noqa: SLF001 - as above
        else:
            yield item


def passing_marks(function: Callable[[Any], Any], context: RunContext) -> Callable[[Any], Any]:
    """A stage's function, which is not called for marks where they come."""
    if not context.passes_marks:
        return function
    return lambda item: item if is_mark(item) else function(item)
