"""The stages that turn samples into tuples, and apply functions to their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, ClassVar

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.item_functions import (
    INSTEAD,
    ItemFunction,
    NumberOfWorkers,
    await_with,
    call_with,
    function_of_values,
    item_function,
    open_calls,
    require_function,
    resumed,
)
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.stage_run import apply_each, function_name, open_each, run_alone
from asyncwds.pipeline.stages.fields import Names, alternatives, getfirst, is_field, require_dict
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.samples import whereabouts


@dataclass(frozen=True, slots=True)
class ToTuple:
    """Turns samples into tuples of the fields' values."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    fields: tuple[Names, ...]
    handler: Handler = reraise_exception
    missing_is_error: bool = True
    none_is_error: bool = True

    def __post_init__(self) -> None:
        checks.function("to_tuple: handler", self.handler, takes=1)
        checks.flags(self, "missing_is_error", "none_is_error")

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        fields = [(names[0], names) for names in self.fields]

        def values(sample: Any) -> tuple[Any, ...]:
            if not isinstance(sample, dict):
                require_dict(sample, "to_tuple")
            get = sample.get
            found = []
            for first_name, names in fields:  # 20 % faster than a comprehension
                value = get(first_name)
                found.append(self._value(sample, names) if value is None else value)
            return tuple(found)

        return open_each(values, source, context, "to_tuple", self.handler)

    def _value(self, sample: Any, names: Names) -> Any:
        value = getfirst(sample, names, missing_is_error=self.missing_is_error)
        if value is None and self.none_is_error:
            raise SampleError(f"field {';'.join(names)!r} is None", **whereabouts(sample))
        return value


@dataclass(frozen=True, slots=True)
class MapTuple:
    """Applies the functions to a tuple's values in turn. None, or no function, leaves a value; functions too many are ignored."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    functions: tuple[Callable[..., Any] | None, ...]
    handler: Handler = reraise_exception
    workers: NumberOfWorkers = None

    def __post_init__(self) -> None:
        checks.workers("map_tuple: workers", self.workers)
        for f in self.functions:
            require_function("map_tuple: each argument", f, self.workers, optional=True)
        checks.function("map_tuple: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        functions = [(index, item_function(f)) for index, f in enumerate(self.functions) if f is not None]
        name = f"map_tuple({', '.join([function_name(f) for f in self.functions])})"

        def check(values: Any) -> None:
            results = [values[index] for index, _ in functions if index < len(values)]
            checks.refuse_coroutine(name, *results, instead=INSTEAD)

        function = _of_elements(functions)
        return open_calls(partial(apply_each, check=check), function, source, context, name, self.handler, self.workers)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        return self.open(source, resumed(context, state))


def _of_elements(functions: Sequence[tuple[int, ItemFunction]]) -> ItemFunction:
    def plain(sample: Any, rng: Random | None = None) -> tuple[Any, ...]:
        values = _values(sample)
        for index, f in functions:
            if index < len(values):
                values[index] = call_with(f, values[index], rng)
        return tuple(values)

    async def awaiting(sample: Any, rng: Random | None = None) -> tuple[Any, ...]:
        values = _values(sample)
        for index, f in functions:
            if index < len(values):
                values[index] = await await_with(f, values[index], rng)
        return tuple(values)

    return function_of_values([f for _, f in functions], plain, awaiting)


def _values(sample: Any) -> list[Any]:
    if not isinstance(sample, (tuple, list)):
        raise SpecError(f"map_tuple needs tuples or lists, not {type(sample).__name__}; to_tuple belongs before it")
    return list(sample)


def transform_with(sample: Sequence[Any], transformers: Sequence[Callable[[Any], Any] | None] | None) -> Sequence[Any]:
    """A list of the values, each passed through the function at its place; None, and a function that is not there, leaves it.

    The sample itself where there are no functions. Raises SampleError if there are more functions than values.
    """
    if not transformers:
        return sample
    if len(transformers) > len(sample):
        raise SampleError(f"{len(transformers)} functions for a sample of {len(sample)} values")
    values = list(sample)
    for index, f in enumerate(transformers):
        if f is not None:
            values[index] = f(values[index])
    return values


def to_tuple(
    *fields: str | Sequence[str],
    handler: Handler = reraise_exception,
    missing_is_error: bool = True,
    none_is_error: bool | None = None,
) -> ToTuple:
    """Samples → tuples: `to_tuple("jpg;png", "json")` or `to_tuple("jpg;png json")`; ";" separates alternatives.

    A sample that lacks a field is a SampleError, or gives None where `missing_is_error` is False. A None in a field is an
    error too, unless `none_is_error` says otherwise (by default it is what `missing_is_error` is).
    """
    if len(fields) == 1 and isinstance(fields[0], str):
        fields = tuple(fields[0].split())
    if not fields or not all(is_field(field) for field in fields):
        raise SpecError(f"to_tuple takes names of fields, or one string of names with spaces between, not {fields!r}")
    names = tuple([alternatives(field) for field in fields])
    return ToTuple(names, handler, missing_is_error, missing_is_error if none_is_error is None else none_is_error)


def map_tuple(
    *functions: Callable[..., Any] | None, handler: Handler = reraise_exception, workers: NumberOfWorkers = None
) -> MapTuple:
    """Applies one function to each element; None leaves it. With `workers`, so many tuples are worked on at once."""
    return MapTuple(functions, handler, workers)
