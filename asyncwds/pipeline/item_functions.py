"""What stages do with one item: which functions of users do, and what they are called with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature, signature
from random import Random
from typing import Any, Literal, TypeAlias

from asyncwds import checks

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
