"""In which order the items of several iterators come: in turn, or by chance."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import pack_rng, restore_rng
from asyncwds.pipeline.mix_weights import Standing, Weights, checked_probs
from asyncwds.runtime.worker_info import WorkerInfo

_END = object()


def round_robin_shortest(*sources: Iterator[Any]) -> Iterator[Any]:
    """An item of each source in turn, until it is the turn of one that has ended."""
    return InTurn(longest=False).items(sources)


def round_robin_longest(*sources: Iterator[Any]) -> Iterator[Any]:
    """An item of each source in turn, passing over those that have ended, until all have."""
    return InTurn(longest=True).items(sources)


def random_samples(
    sources: Sequence[Iterator[Any]],
    probs: Sequence[float] | None = None,
    longest: bool = False,
    rng: Random | None = None,
) -> Iterator[Any]:
    """Items of the sources by chance, in proportion to `probs` (of any sum; None is all alike).

    Ends where a source is drawn that has ended, or with `longest` when all have, the others taking its share. Without `rng`
    it draws from Python's global `random`, as WebDataset does.
    """
    weights = Weights(checked_probs(probs, len(sources)), len(sources))
    return ByChance(weights, longest=longest, rng=rng or random).items(sources)


class InTurn:
    """The sources in turn, by their numbers."""

    def __init__(self, *, longest: bool, state: Any = None) -> None:
        self._longest = longest
        self._left: list[int] | None = None
        self._turn = 0
        if state is not None:
            try:
                self._turn = int(state["turn"])
                self._left = None if state["left"] is None else [int(number) for number in state["left"]]
            except (KeyError, TypeError, ValueError) as error:
                raise _no_order(state) from error

    def items(self, sources: Sequence[Iterator[Any]]) -> Iterator[Any]:
        left = self._left = list(range(len(sources))) if self._left is None else self._left
        while left:
            item = next(sources[left[self._turn]], _END)
            if item is not _END:
                self._turn = (self._turn + 1) % len(left)
                yield item
            elif self._longest:
                left = self._left = left[: self._turn] + left[self._turn + 1 :]  # states that were given have the old list
                self._turn %= max(1, len(left))
            else:
                return

    def state(self) -> dict[str, Any]:
        return {"left": self._left, "turn": self._turn}

    def beginning(self) -> dict[str, Any]:
        return {"left": None, "turn": 0}


def merge_orders(orders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of a mix at several places, made into that of others: they begin anew, but for weights, which go on.

    `of_all` is how many items all places gave together. Weights that were set by hand are those of who came furthest.
    """
    if all("turn" in order for order in orders):
        return {"left": None, "turn": 0}
    try:
        steps = [order["step"] if "step" in order else order["of_all"] // len(orders) for order in orders]
        by_hand: list[Any] = orders[steps.index(max(steps))]["by_hand"]
        return {"left": None, "rng": None, "of_all": sum(steps), "by_hand": [[0, by_hand[-1][1]]] if by_hand else []}
    except (KeyError, TypeError, IndexError) as error:
        raise _no_order(orders) from error


def order_at(order: Any, place: WorkerInfo) -> Any:
    """What a place goes on with, of one that was merged: it counts as if all had given as many items."""
    if "of_all" not in order:
        return order
    step = order["of_all"] // (place.world_size * place.num_workers)
    return {"left": None, "rng": None, "step": step, "by_hand": order["by_hand"]}


class ByChance:
    """The sources by chance, in proportion to weights, which may be others at each step: an item given.

    Those that were set by hand are noted with their steps, so that the same items come again.
    """

    def __init__(self, weights: Weights, *, longest: bool, rng: Any, state: Any = None) -> None:
        self._weights = weights
        self._longest = longest
        self._rng = rng
        self._left: list[int] | None = None
        self._first = self._step = 0
        self._by_hand: list[tuple[int, list[float] | None]] = []
        self._seen = 0
        if state is not None:
            self._go_on(state)

    def _go_on(self, state: Any) -> None:
        try:
            self._by_hand = [(int(step), weights) for step, weights in state["by_hand"]]
            self._first = self._step = int(state["step"])
            if state["rng"] is not None:  # else it is a beginning
                self._left = [int(number) for number in state["left"]]
                restore_rng(self._rng, state["rng"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _no_order(state) from error
        if self._by_hand:
            self._weights.set(self._by_hand[-1][1])
        self._seen = self._weights.changes

    def items(self, sources: Sequence[Iterator[Any]]) -> Iterator[Any]:
        left = self._left = list(range(len(sources))) if self._left is None else self._left
        draw, weights = self._rng.random, self._weights
        while True:
            stands = self._standing()
            numbers = [number for number in left if stands.values[number] > 0]
            if not numbers:
                return
            bounds, until = _bounds([stands.values[number] for number in numbers]), stands.until
            while weights.changes == stands.changes:
                number = numbers[bisect_right(bounds, draw())]
                item = next(sources[number], _END)
                if item is _END:
                    if not self._longest:
                        self._left = []  # a state that is taken now draws no other member
                        return
                    left = self._left = [other for other in left if other != number]  # as above
                    break
                self._step += 1
                yield item
                if self._step >= until and not weights.same(stands, self._step):
                    break

    def _standing(self) -> Standing:
        if self._seen != self._weights.changes:
            self._seen = self._weights.changes
            self._by_hand = [*self._set_before(self._step), (self._step, self._weights.by_hand)]
        known = self._set_before(self._step + 1)
        stands = self._weights.at(self._step, known[-1][1] if known else None)
        later = [step for step, _ in self._by_hand[len(known) :]]
        return stands if not later else stands._replace(until=min(stands.until, later[0]))

    def _set_before(self, step: int) -> list[tuple[int, list[float] | None]]:
        return [each for each in self._by_hand if each[0] < step]

    def state(self) -> dict[str, Any]:
        return {"left": self._left, "step": self._step, "rng": pack_rng(self._rng), "by_hand": self._noted()}

    def beginning(self) -> dict[str, Any]:
        return {"left": None, "step": self._first, "rng": None, "by_hand": self._noted()}

    def _noted(self) -> list[Any]:
        changed = self._seen != self._weights.changes  # since the last item
        by_hand = [*self._by_hand, (self._step, self._weights.by_hand)] if changed else self._by_hand
        return [list(each) for each in by_hand]


def _no_order(state: Any) -> SpecError:
    return SpecError(f"not the state of a mix: {show_value(state)}")


def _bounds(weights: list[float]) -> list[float]:
    """Where in [0, 1) the share of each ends, but for the last: WebDataset's sums, rounding included."""
    import numpy as np  # noqa: PLC0415 - heavy

    bounds: list[float] = (np.array(weights) / np.sum(weights)).cumsum().tolist()
    return bounds[:-1]
