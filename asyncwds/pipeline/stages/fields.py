"""The stages that add, change and rename fields of samples that are dicts; and names of fields, and alternatives of such:
"jpg;png".

None of them changes the sample it was given: it may stand in a cache, or come again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, ClassVar

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.formatting.texts import show_value
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
from asyncwds.pipeline.stage_run import apply_each, open_each, run_alone
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.samples import describe_misplaced, whereabouts

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


@dataclass(frozen=True, slots=True)
class Rename:
    """Gives fields new names: the first of the old names that a sample has. `keep` passes on the fields that are not named."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    fields: tuple[tuple[str, Names], ...]
    keep: bool = True
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("rename: handler", self.handler, takes=1)
        checks.flags(self, "keep")

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        old_names = {name for _, names in self.fields for name in names}

        def renamed(sample: Any) -> Any:
            if not isinstance(sample, dict):
                require_dict(sample, "rename")
            fields = {new: sample[names[0]] if names[0] in sample else getfirst(sample, names) for new, names in self.fields}
            return _replaced(sample, old_names, fields) if self.keep else fields

        return open_each(renamed, source, context, "rename", self.handler)


def rename(handler: Handler = reraise_exception, keep: bool = True, **fields: str | Sequence[str]) -> Rename:
    """`rename(image="jpg;png")`: the new name, and the old ones to look for. A sample that has none of them is a SampleError."""
    for old in fields.values():
        if not is_field(old):
            raise SpecError(f"rename takes names of fields, not {show_value(old)}")
    return Rename(tuple([(new, alternatives(old)) for new, old in fields.items()]), keep, handler)


def _replaced(sample: Any, old_names: set[str], renamed: dict[str, Any]) -> Any:
    result = sample.copy()
    for name in old_names:
        result.pop(name, None)
    result.update(renamed)
    return result


Names = tuple[str, ...]  # alternatives: the first one that a sample has counts


def alternatives(field: str | Sequence[str]) -> Names:
    """ "jpg;png" → ("jpg", "png")."""
    return tuple(field.split(";") if isinstance(field, str) else field)


def is_field(field: object) -> bool:
    """Whether it names a field, or alternatives: text without spaces, or a list of such."""
    if isinstance(field, str):
        return bool(field) and " " not in field
    return (
        isinstance(field, Sequence)
        and not isinstance(field, bytes)
        and len(field) > 0
        and all(isinstance(name, str) for name in field)
    )


def parse_field_spec(fields: str | Sequence[str]) -> list[list[str]]:
    """ "jpg;png cls", or ["jpg;png", "cls"] → the alternatives of each field: [["jpg", "png"], ["cls"]]."""
    return [list(alternatives(field)) for field in (fields.split() if isinstance(fields, str) else fields)]


def getfirst(sample: Any, keys: str | Sequence[str], default: Any = None, missing_is_error: bool = True) -> Any:
    """The value of the first of the fields ("jpg;png", or a list) that the sample has.

    If it has none: SampleError, or `default` where `missing_is_error` is False. What is no sample at all is a SpecError.
    """
    for name in keys.split(";") if isinstance(keys, str) else keys:
        if name in sample:
            return sample[name]
    if not missing_is_error:
        return default
    wanted = keys if isinstance(keys, str) else ";".join(keys)
    require_dict(sample, f"field {wanted!r}")
    if wrong := describe_misplaced(sample):
        raise SpecError(f"field {wanted!r} is looked for in samples, {wrong}")
    raise SampleError(f"no field {wanted!r} in {' '.join(str(field) for field in sample)}", **whereabouts(sample))


def require_dict(sample: object, stage: str) -> None:
    """Raises SpecError for what is no dict: not this sample is wrong, but the pipeline."""
    if not isinstance(sample, Mapping):
        raise SpecError(f"{stage} needs samples that are dicts, {describe_misplaced(sample)}")
