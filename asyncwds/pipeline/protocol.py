"""What a stage is, and what a stage is in one pass; and the types of items and stages, for type checkers, whose variables have
defaults, which Python 3.11 doesn't know. `adapt` makes a `Stage` of every other form that pipelines take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from asyncwds.pipeline.context import RunContext
    from asyncwds.pipeline.lineage import SampleTrace


if TYPE_CHECKING:
    from typing_extensions import TypeVar

    ItemT_co = TypeVar("ItemT_co", covariant=True, default=Any)  # `WebDataset` alone is one of any items
    T_contra = TypeVar("T_contra", contravariant=True)
    U_co = TypeVar("U_co", covariant=True)

    class SeededFunction(Protocol[T_contra, U_co]):
        """A function of an item that takes random numbers of the item's own."""

        def __call__(self, item: T_contra, /, *, rng: Random) -> U_co: ...

else:
    from typing import TypeVar

    ItemT_co = TypeVar("ItemT_co", covariant=True)

A = TypeVar("A")
B = TypeVar("B")

Head = Iterable[A] | Callable[[], Iterable[A]]  # what a pipeline begins with
StageFunction = Callable[[Iterator[A]], Iterable[B]]


JsonValue: TypeAlias = bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None


class Stream(Iterator[Any], Protocol):
    """One stage in one pass. `iter(stream)` may be another iterator over the same items, with less between."""

    def close(self) -> None:
        """Ends it, and its source. Idempotent."""

    def interrupt(self) -> None:
        """Called from another thread: a `next` that waits raises BridgeError."""

    def lineage(self) -> tuple[SampleTrace, ...]:
        """The samples that the latest item was made of, as far as that is known."""


class ResumableStream(Stream, Protocol):
    """One that can tell what it keeps between two calls of `next`, so that another one can go on from there."""

    def state(self) -> Mapping[str, Any] | None:
        """Values as JSON has them; None where it keeps nothing. `held` is special: items that were taken and not given.

        It is a list with the item itself where that is a `Sample` of a shard, else with what the source's `lineage()` was for it.
        In a state that is saved it becomes the places of these samples. Raises SpecError where there can be no state.
        """


class Stage(Protocol):
    """A description of what is done with items: frozen, as picklable, printable and comparable as the functions in it.

    `open` runs none of the users' code: that is for whoever asks for the first item, perhaps in another thread.
    """

    def open(self, source: Stream, context: RunContext) -> Stream: ...


class ResumableStage(Stage, Protocol):
    """A stage whose streams are resumable.

    It has an attribute `gives_what_it_takes` that says whether its items are those that it takes, perhaps in another order or not
    all of them: then what a stage behind it held is made again without it. Else one item comes of what an item was made of.

    Where other ranks and workers go on with an epoch it is opened anew, and the samples that it held come from its source as others
    do. `elastic = True` says that it does right then; `chooses_by_chance`, that it may leave out another time what it once gave.
    """

    def reopen(self, source: Stream, context: RunContext, state: Any) -> ResumableStream:
        """The stream as it was when it gave the state. The source gives the items in `held`, in their order, and then goes on.

        In `held` of this state each is a list of places now; what counts is its length.

        Raises SpecError for what is no such state.
        """


@runtime_checkable
class ReplayingStage(Stage, Protocol):
    """A stage that keeps what it gave."""

    def replays(self, context: RunContext) -> bool:
        """Whether all of the pass comes from what it kept: then nothing before it needs to run."""

    def made_in(self, context: RunContext) -> int | None:
        """The epoch of the pass that it kept, as contexts count them; None where nobody knows."""
