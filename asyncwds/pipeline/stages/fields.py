"""The stages that add and change fields of samples that are dicts.

None of them changes the sample it was given: it may stand in a cache, or come again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, ClassVar

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.item_calls import open_calls, resumed
from asyncwds.pipeline.item_functions import (
    INSTEAD,
    ItemFunction,
    NumberOfWorkers,
    await_with,
    call_with,
    function_of_values,
    item_function,
    require_function,
)
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.stage_run import apply_each, open_each, run_alone
from asyncwds.pipeline.stages.field_names import getfirst, require_dict
from asyncwds.runtime.handlers import Handler, reraise_exception

Associator = Callable[[Any], Mapping[str, Any]] | Mapping[Any, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Associate:
    """Adds the fields that `associator(key)`, or `associator[key]` where there is such a key, has for a sample's key."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    associator: Associator = field(repr=False)  # may be a table of millions
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        if not callable(self.associator) and not hasattr(self.associator, "get"):
            raise SpecError(f"associate takes a function or a mapping, not {show_value(self.associator)}")
        if callable(self.associator):
            checks.function("associate: associator", self.associator, takes=1)
        checks.function("associate: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        return open_each(self._associated, source, context, "associate", self.handler)

    def _associated(self, sample: Any) -> Any:
        require_dict(sample, "associate")
        key = getfirst(sample, ("__key__",))
        added = self.associator(key) if callable(self.associator) else self.associator.get(key, {})
        if not isinstance(added, dict):
            checks.refuse_coroutine("associate", added)
        associated = sample.copy()
        associated.update(added)
        return associated


@dataclass(frozen=True, slots=True)
class MapDict:
    """Replaces fields by functions of their values."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    functions: tuple[tuple[str, Callable[..., Any]], ...]
    handler: Handler = reraise_exception
    workers: NumberOfWorkers = None

    def __post_init__(self) -> None:
        checks.workers("map_dict: workers", self.workers)
        if not self.functions:
            raise SpecError("map_dict takes functions by the names of fields: map_dict(cls=int)")
        for name, f in self.functions:
            require_function(f"map_dict: {name}", f, self.workers)
        checks.function("map_dict: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        name = f"map_dict({', '.join(name for name, _ in self.functions)})"

        def check(mapped: Any) -> None:
            checks.refuse_coroutine(name, *[mapped[field] for field, _ in self.functions], instead=INSTEAD)

        return open_calls(partial(apply_each, check=check), self._function(), source, context, name, self.handler, self.workers)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        return self.open(source, resumed(context, state))

    def _function(self) -> ItemFunction:
        functions = [(name, item_function(f)) for name, f in self.functions]

        def plain(sample: Any, rng: Random | None = None) -> Any:
            require_dict(sample, "map_dict")
            mapped = sample.copy()
            for name, f in functions:
                mapped[name] = call_with(f, mapped[name] if name in mapped else getfirst(mapped, (name,)), rng)
            return mapped

        async def awaiting(sample: Any, rng: Random | None = None) -> Any:
            require_dict(sample, "map_dict")
            mapped = sample.copy()
            for name, f in functions:
                mapped[name] = await await_with(f, mapped[name] if name in mapped else getfirst(mapped, (name,)), rng)
            return mapped

        return function_of_values([f for _, f in functions], plain, awaiting)


def associate(associator: Associator, handler: Handler = reraise_exception) -> Associate:
    """Adds fields to each sample: `associator(sample["__key__"])`, or what a mapping has for that key, if anything."""
    return Associate(associator, handler)


def map_dict(handler: Handler = reraise_exception, *, workers: NumberOfWorkers = None, **functions: Callable[..., Any]) -> MapDict:
    """`map_dict(jpg=resize, cls=int)`: replaces fields by functions of their values. A sample that lacks one is a SampleError.

    With `workers`, so many samples are worked on at once.
    """
    return MapDict(tuple(functions.items()), handler, workers)
