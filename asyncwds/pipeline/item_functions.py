"""What stages do with one item: which functions of users do, what they are called with, and the stream of one that calls such."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import Parameter, Signature, signature
from random import Random
from typing import Any, Literal, TypeAlias

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream, keeps_nothing
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.skipping import is_mark
from asyncwds.pipeline.stage_run import Loop, open_loop
from asyncwds.runtime.handlers import Handler

RNG = "rng"  # the argument by which a function asks for random numbers
NumberOfWorkers: TypeAlias = int | Literal["auto"] | None
INSTEAD = (
    "await it in the loop over the dataset (`async for sample in dataset`), "
    "or give the stage the `async def` itself and `workers=n`: n of its calls are in flight at once"
)


@dataclass(frozen=True, slots=True)
class ItemFunction:
    """`call(item)`, or `call(item, rng=...)` where it is `seeded`; what an `asynchronous` one returns is to be awaited."""

    call: Callable[..., Any]
    seeded: bool = False
    asynchronous: bool = False


def item_function(function: Callable[..., Any]) -> ItemFunction:
    return ItemFunction(function, takes_rng(function), checks.is_asynchronous(function))


def call_with(function: ItemFunction, value: Any, rng: Random | None) -> Any:
    return function.call(value, rng=rng) if function.seeded else function.call(value)


async def await_with(function: ItemFunction, value: Any, rng: Random | None) -> Any:
    """The same for functions of which some are asynchronous."""
    result = call_with(function, value, rng)
    return await result if function.asynchronous else result


def function_of_values(functions: Sequence[ItemFunction], plain: Callable[..., Any], awaiting: Callable[..., Any]) -> ItemFunction:
    """What a stage does that calls several functions: `awaiting` does the same as `plain`, for when one of them is asynchronous."""
    asynchronous = any(function.asynchronous for function in functions)
    return ItemFunction(awaiting if asynchronous else plain, any(function.seeded for function in functions), asynchronous)


def require_function(name: str, function: Any, workers: NumberOfWorkers, *, optional: bool = False) -> None:
    """Raises SpecError unless it can be called with an item, and `rng` if it takes that: asynchronous ones with workers only."""
    named = (RNG,) if takes_rng(function) else ()
    checks.function(name, function, optional=optional, takes=1, named=named, awaited=workers is not None, instead=INSTEAD)


def takes_rng(function: Any) -> bool:
    """Whether it has an argument `rng` beside the item, which nobody has bound yet."""
    if not callable(function) or _is_bound(function):
        return False
    own = _signature(function, follow_wrapped=False)
    if own is None:
        return False
    passes_on = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in own.parameters.values())
    return _has_rng(own) or (passes_on and _has_rng(_signature(function, follow_wrapped=True)))


def _is_bound(function: Any) -> bool:
    return isinstance(function, partial) and RNG in function.keywords


def _signature(function: Any, *, follow_wrapped: bool) -> Signature | None:
    try:
        return signature(function, follow_wrapped=follow_wrapped)
    except (TypeError, ValueError):  # of some builtins nobody knows it
        return None


def _has_rng(known: Signature | None) -> bool:
    if known is None or RNG not in known.parameters:
        return False
    kind = known.parameters[RNG].kind
    first = next(iter(known.parameters)) == RNG and kind is not Parameter.KEYWORD_ONLY  # that is where the item goes
    return not first and kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def item_function_passing_marks(function: ItemFunction) -> ItemFunction:
    """The same, of one that may be asynchronous, and may take random numbers."""
    call = function.call

    def plain(item: Any, **options: Any) -> Any:
        return item if is_mark(item) else call(item, **options)

    async def awaiting(item: Any, **options: Any) -> Any:
        return item if is_mark(item) else await call(item, **options)

    return replace(function, call=awaiting if function.asynchronous else plain)


CallLoop = Callable[[Callable[[Any], Any]], Loop]


def open_calls(  # noqa: PLR0917 - what each stage has
    loop: CallLoop,
    function: ItemFunction,
    source: Stream,
    context: RunContext,
    name: str,
    handler: Handler,
    workers: NumberOfWorkers,
) -> ResumableStream:
    """The stream of a stage whose `loop`, given what to call with an item for its result, is a generator over its items."""
    if context.passes_marks:
        function = item_function_passing_marks(function)
    if workers is None and not function.seeded:
        return ResumableStageStream(open_loop(loop(function.call), source, context, name, handler), keeps_nothing)
    from asyncwds.pipeline.item_calls import ParallelCalls, SeededCalls  # noqa: PLC0415 - workers, which most do without

    if workers is not None:
        parallel = ParallelCalls(function, source, context, workers)
        return ResumableStageStream(open_loop(loop(parallel.result), parallel, context, name, handler), parallel.state)
    seeded = SeededCalls(function, source, context)
    items = StageStream(seeded.items, source, closes=False)
    return ResumableStageStream(open_loop(loop(seeded.result), items, context, name, handler), seeded.state)


def resumed(context: RunContext, state: JsonValue) -> RunContext:
    """What such a stream is opened with to go on from its state. The source gives what it held.

    Raises SpecError for what is no such state.
    """
    taken = state.get("taken") if isinstance(state, Mapping) and isinstance(state.get("held"), Sequence) else None
    if not isinstance(taken, int):
        raise SpecError(f"not the state of a stage that calls a function: {show_value(state)}")
    return replace(context, taken=taken)
