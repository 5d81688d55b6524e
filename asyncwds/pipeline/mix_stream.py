"""A mix in one pass: an iterator over each member, opened together and closed together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any

from asyncwds.pipeline.adapt import adapt_head, follows_pass
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.streams import NoItems, close_generator, opened
from asyncwds.pipeline.tracebacks import users_frames
from asyncwds.runtime.seeds import make_seed

Strategy = Callable[[list[Iterator[Any]]], Iterator[Any]]


class Mixed(Iterator[Any]):
    """A mix in one pass. At its end, after an error, and when it is closed or dropped, what is open of the members is closed."""

    def __init__(self, datasets: list[Iterable[Any]], strategy: Strategy, seed: int | None, context: RunContext) -> None:
        self._resources = context.resources
        self._latest = _Latest()
        # It must not refer to this object: without a cycle, dropping it closes the members at once.
        self._items = _mixed(datasets, strategy, seed, context, self._latest)

    def __next__(self) -> Any:
        try:
            return next(self._items)
        except Exception as error:  # noqa: BLE001 - raised again
            raise error.with_traceback(users_frames(error))  # noqa: B904 - it is the same error

    def lineage(self) -> tuple[SampleTrace, ...]:
        """As the member knows it that gave the latest item."""
        lineage: Callable[[], tuple[SampleTrace, ...]] | None = getattr(self._latest.member, "lineage", None)
        return () if lineage is None else lineage()

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


def _mixed(
    datasets: list[Iterable[Any]], strategy: Strategy, seed: int | None, context: RunContext, latest: _Latest
) -> Generator[Any]:
    with ExitStack() as stack:
        members = []
        for number, dataset in enumerate(datasets):
            with _naming(number, dataset):
                member = stack.enter_context(_member(number, dataset, seed, context))
                context.resources.hold_if_it_can_be(member)
                members.append(_named(number, dataset, member, latest))
        yield from strategy(members)


def _member(number: int, dataset: Any, seed: int | None, context: RunContext) -> AbstractContextManager[Iterator[Any]]:
    """An iterator over a member in an epoch, to be closed. A mix within a mix that has no seed of its own takes one from it."""
    if seed is not None and follows_pass(dataset):
        own = RunContext(make_seed(seed, "member", number), context.epoch, context.worker_info)
        return closing(adapt_head(dataset).open(NoItems(own.resources), own))
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(context.epoch)
    return opened(dataset)


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
