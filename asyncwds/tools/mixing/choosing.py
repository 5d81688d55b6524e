"""Which source the next sample of a mix is from."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Generic, Literal, TypeVar

from asyncwds.errors import SpecError

T = TypeVar("T")
Stop = Literal["all", "first", "longest"]
STOPS: tuple[Stop, ...] = ("all", "first", "longest")


class Mixture(Generic[T]):
    """Items of several sources, each drawn with a probability like its weight; the seed decides about all.

    opens    of each source, what opens an iterator over its items that can be closed; it gets how often they came already
    stop     "all": when all have ended; those that have are not drawn any more. "first": when one has that was drawn.
             "longest": when each has ended once; one that has begins anew
    """

    def __init__(
        self, opens: Sequence[Callable[[int], Generator[T, None, None]]], weights: Sequence[float], stop: Stop, seed: int
    ) -> None:
        if len(opens) != len(weights) or not opens:
            raise SpecError(f"{len(opens)} sources have {len(weights)} weights")
        if not all(0 < weight < float("inf") for weight in weights):
            raise SpecError(f"weights are above 0, not {', '.join(map(str, weights))}")
        if stop not in STOPS:
            raise SpecError(f"stop is {', '.join(STOPS)}, not {stop!r}")
        self._opens = opens
        self._weights = list(weights)
        self._stop = stop
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self.given = [0] * len(opens)
        """Items of each source."""

    def __iter__(self) -> Generator[T, None, None]:
        with ExitStack() as stack:
            passes = [0] * len(self._opens)
            items: list[Iterator[T]] = [stack.enter_context(closing(opens(0))) for opens in self._opens]
            running = list(range(len(items)))
            ended: set[int] = set()
            while running:
                number = self._random.choices(running, [self._weights[each] for each in running])[0]
                item = next(items[number], None)
                if item is None and self._stop == "all":
                    running.remove(number)
                    continue
                if item is None:
                    ended.add(number)
                    if self._stop == "first" or len(ended) == len(items):
                        return
                    passes[number] += 1
                    items[number] = stack.enter_context(closing(self._opens[number](passes[number])))
                    item = _first_of(items[number], number)
                self.given[number] += 1
                yield item


def _first_of(items: Iterator[T], number: int) -> T:
    item = next(items, None)
    if item is None:
        raise SpecError(f"source {number} of the mix has no samples")
    return item
