"""A mix in one pass: an iterator over each member, opened together and closed together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Protocol

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.adapt import adapt_head, follows_pass
from asyncwds.pipeline.context import NoItems, RunContext, close_generator
from asyncwds.pipeline.inner import Inner, open_inner
from asyncwds.pipeline.iteration import users_frames
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.within import UNKNOWN
from asyncwds.runtime.worker_info import make_seed


class Order(Protocol):
    """In which order the items of the members come."""

    def items(self, sources: Sequence[Iterator[Any]]) -> Iterator[Any]: ...
    def state(self) -> dict[str, Any]: ...
    def beginning(self) -> dict[str, Any]: ...


class Mixed(Iterator[Any]):
    """A mix in one pass. At its end, after an error, and when it is closed or dropped, what is open of the members is closed."""

    def __init__(
        self, datasets: list[Iterable[Any]], order: Order, seed: int | None, context: RunContext, state: Any = None
    ) -> None:
        self._resources = context.resources
        self._within = context.within
        self._latest = _Latest()
        self._order = order
        self._first = state
        self._inner: list[Inner] = []
        # It must not refer to this object: without a cycle, dropping it closes the members at once.
        members = _Members(datasets, seed, context, _member_states(state, len(datasets)), self._inner, self._latest)
        self._items = _mixed(members, order)

    def __next__(self) -> Any:
        try:
            return next(self._items)
        except Exception as error:  # noqa: BLE001 - raised again
            raise error.with_traceback(users_frames(error))  # noqa: B904 - it is the same error

    def lineage(self) -> tuple[SampleTrace, ...]:
        """As the member knows it that gave the latest item."""
        lineage: Callable[[], tuple[SampleTrace, ...]] | None = getattr(self._latest.member, "lineage", None)
        return () if lineage is None else lineage()

    def state(self) -> Any:
        """Whose turn it is, and the state of each member. Raises SpecError where one has none."""
        if not self._inner:
            return self._first and {name: value for name, value in self._first.items() if name != "shards"}
        return {"order": self._order.state(), "workers": [inner.state() for inner in self._inner]}

    def beginning(self) -> Any:
        """What it began with; None where nobody knows that of a member."""
        firsts = [inner.beginning() for inner in self._inner]
        return {"order": self._order.beginning(), "workers": firsts} if self._inner else None

    def shards(self, indexes: Iterable[int]) -> Any:
        """What is known of shards of which samples are held behind it."""
        if self._within is None:
            raise SpecError(UNKNOWN)
        return self._within.pack(indexes)

    @property
    def batches(self) -> int:
        """Whether its members give some."""
        return 0 if self._within is None else self._within.batches

    def know(self, shards: Any) -> None:
        """Those of which samples were held when the state was taken that this goes on from."""
        if self._within is not None:
            self._within.know(shards)

    def interrupt(self) -> None:
        """Makes a `next` that waits in another thread for a member raise BridgeError."""
        self._resources.interrupt()

    def close(self) -> None:
        close_generator(self._items)
        self._resources.close()


class _Latest:
    """Which member gave the latest item."""

    __slots__ = ("member",)

    def __init__(self) -> None:
        self.member: Iterator[Any] = iter(())


def _member_states(state: Any, members: int) -> list[Any]:
    if state is None:
        return [None] * members
    try:
        states = list(state["workers"])
    except (KeyError, TypeError) as error:
        raise SpecError(f"not the state of a mix: {show_value(state)}") from error
    if len(states) != members:
        raise SpecError(f"the state is that of a mix of {len(states)} data sets, and this one has {members}")
    return states


class _Members:
    """What the members are opened with."""

    def __init__(  # noqa: PLR0917 - what it is made of
        self,
        datasets: list[Iterable[Any]],
        seed: int | None,
        context: RunContext,
        states: list[Any],
        opened: list[Inner],
        latest: _Latest,
    ) -> None:
        self._datasets = datasets
        self._seed = seed
        self._context = context
        self._states = states
        self._opened = opened
        self._latest = latest

    def open(self, stack: ExitStack) -> list[Iterator[Any]]:
        members = []
        for number, dataset in enumerate(self._datasets):
            with _naming(number, dataset):
                inner = self._member(number, dataset, stack)
                self._context.resources.hold_if_it_can_be(inner.items)
                members.append(_named(number, dataset, inner.source(self._context.within), self._latest))
                self._opened.append(inner)
        return members

    def _member(self, number: int, dataset: Any, stack: ExitStack) -> Inner:
        """A member in an epoch, to be closed. A mix within a mix that has no seed of its own takes one from it."""
        context, state = self._context, self._states[number]
        within = None if context.within is None else context.within.step(number)
        if self._seed is not None and follows_pass(dataset):
            own = RunContext(make_seed(self._seed, "member", number), context.epoch, context.worker_info, within=within)
            stage: Any = adapt_head(dataset)
            source = NoItems(own.resources)
            stream = stack.enter_context(closing(stage.open(source, own) if state is None else stage.reopen(source, own, state)))
            state_of = getattr(stream, "state", None) or _nobody_knows(dataset)
            return Inner(stream, state_of, getattr(stream, "beginning", _unknown), isinstance(stream, Mixed))
        if hasattr(dataset, "set_epoch"):
            dataset.set_epoch(context.epoch)
        inner = open_inner(dataset, state, within)
        if inner.items is not dataset and hasattr(inner.items, "close"):  # one that was given is left to whoever gave it
            stack.enter_context(closing(inner.items))  # type: ignore[type-var]
        return inner


def _nobody_knows(dataset: Any) -> Callable[[], Any]:
    def refuse() -> Any:
        raise SpecError(f"{show_value(dataset)}, a member of a mix, does not say how far it has come")

    return refuse


def _unknown() -> None:
    """What began in this way begins again like that."""


def _mixed(members: _Members, order: Order) -> Generator[Any]:
    with ExitStack() as stack:
        yield from order.items(members.open(stack))


def _named(number: int, dataset: Any, items: Iterator[Any], latest: _Latest) -> Iterator[Any]:
    with _naming(number, dataset):
        for item in items:
            latest.member = items
            yield item


@contextmanager
def _naming(number: int, dataset: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in member {number} of a mix: {repr(dataset).partition(chr(10))[0][:100]}")
        raise
