"""The stages that make another thing of each sample, or leave it out.

A stage is a callable from an iterator to an iterator. These are plain data, so that they can be printed and pickled
(as far as the user's functions can), and lazy. The functions at the end make them, with WebDataset's arguments.

An exception from the user's function is passed to the stage's handler, with a note of stage and sample; one from the
source goes through untouched, for the handler of its own stage has seen it already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from asyncwds import checks
from asyncwds.codecs.decoders import Decoder, FieldDecoder, FieldHandler
from asyncwds.codecs.field_loaders import Allowed
from asyncwds.compression.fields import MAX_UNPACKED
from asyncwds.errors import SampleError, SpecError
from asyncwds.formatting.reprs import show_value
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.handlers import Handler, reraise_exception
from asyncwds.pipeline.names import Names, alternatives, getfirst, is_field, require_dict
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage_run import StageRun, apply_each, open_loop, run_alone
from asyncwds.pipeline.streams import StageStream
from asyncwds.samples import whereabouts


@dataclass(frozen=True, slots=True)
class Map:
    """Replaces each sample by `f(sample)`; None drops it."""

    f: Callable[[Any], Any]
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("map: f", self.f, takes=1)
        checks.function("map: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        return open_loop(self._mapped, source, context, f"map({_name(self.f)})", self.handler)

    def _mapped(self, items: Iterator[Any], run: StageRun) -> Iterator[Any]:
        f = self.f
        for sample in items:
            run.item = sample
            try:
                result = f(sample)
            except Exception as error:  # noqa: BLE001 - user code; the handler decides
                if run.goes_on(error):
                    continue
                return
            if result is not None:
                yield result if result is sample else keyed(sample, result)


@dataclass(frozen=True, slots=True)
class Select:
    """Keeps the samples for which `predicate(sample)` is true."""

    predicate: Callable[[Any], Any]
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("select: predicate", self.predicate, takes=1)
        checks.function("select: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        return open_loop(self._selected, source, context, f"select({_name(self.predicate)})", self.handler)

    def _selected(self, items: Iterator[Any], run: StageRun) -> Iterator[Any]:
        predicate = self.predicate
        for sample in items:
            run.item = sample
            try:
                selected = predicate(sample)
            except Exception as error:  # noqa: BLE001 - user code; the handler decides
                if run.goes_on(error):
                    continue
                return
            if selected:
                if selected is not True:
                    checks.refuse_coroutine("select", selected)
                yield sample


@dataclass(frozen=True, slots=True)
class ToTuple:
    """Turns samples into tuples of the fields' values."""

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

        return open_loop(apply_each(values), source, context, "to_tuple", self.handler)

    def _value(self, sample: Any, names: Names) -> Any:
        value = getfirst(sample, names, missing_is_error=self.missing_is_error)
        if value is None and self.none_is_error:
            raise SampleError(f"field {';'.join(names)!r} is None", **whereabouts(sample))
        return value


@dataclass(frozen=True, slots=True)
class MapTuple:
    """Applies the functions to a tuple's values in turn. None, or no function, leaves a value; functions too many are ignored."""

    functions: tuple[Callable[[Any], Any] | None, ...]
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        for f in self.functions:
            checks.function("map_tuple: each argument", f, optional=True, takes=1)
        checks.function("map_tuple: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        functions = [(index, f) for index, f in enumerate(self.functions) if f is not None]

        def applied(sample: Any) -> tuple[Any, ...]:
            if not isinstance(sample, (tuple, list)):
                raise SpecError(f"map_tuple needs tuples or lists, not {type(sample).__name__}; to_tuple belongs before it")
            values = list(sample)
            for index, f in functions:
                if index < len(values):
                    values[index] = f(values[index])
            return tuple(values)

        name = f"map_tuple({', '.join([_name(f) for f in self.functions])})"

        def check(values: Any) -> None:
            checks.refuse_coroutine(name, *[values[index] for index, _ in functions if index < len(values)])

        return open_loop(apply_each(applied, check), source, context, name, self.handler)


@dataclass(frozen=True, slots=True)
class Rename:
    """Gives fields new names: the first of the old names that a sample has. `keep` passes on the fields that are not named."""

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

        return open_loop(apply_each(renamed), source, context, "rename", self.handler)


@dataclass(frozen=True, slots=True)
class Slice:
    """`itertools.islice`: (stop), (start, stop) or (start, stop, step)."""

    bounds: tuple[int | None, ...]

    def __post_init__(self) -> None:
        try:
            islice((), *self.bounds)
        except (TypeError, ValueError) as error:
            raise SpecError(f"slice{self.bounds!r}: {error}") from error

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:  # noqa: ARG002 - the protocol
        return StageStream(lambda: islice(source, *self.bounds), source)


def keyed(sample: Any, result: Any) -> Any:
    """What `map` makes of a function's result: a dict made from a sample inherits its key, unless it has one."""
    if not isinstance(result, dict):
        checks.refuse_coroutine("map", result)
    elif isinstance(sample, dict) and "__key__" in sample:
        result.setdefault("__key__", sample["__key__"])
    return result


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


def map(f: Callable[[Any], Any], handler: Handler = reraise_exception) -> Map:  # noqa: A001 - WebDataset's name
    return Map(f, handler)


def select(predicate: Callable[[Any], Any], handler: Handler = reraise_exception) -> Select:
    return Select(predicate, handler)


def decode(
    *handlers: FieldHandler | str,
    pre: Sequence[FieldHandler] | None = None,
    post: Sequence[FieldHandler] | None = None,
    only: str | Iterable[str] | None = None,
    partial: bool = False,
    decoders: Mapping[str, FieldDecoder] | None = None,
    max_unpacked: int = MAX_UNPACKED,
    pickle: Allowed = None,
    handler: Handler = reraise_exception,
) -> Map:
    """Decodes the fields of each sample, see `Decoder`. A sample with a field that cannot be decoded is a DecodeError."""
    decoder = Decoder(handlers, pre, post, only, partial, decoders=decoders, max_unpacked=max_unpacked, pickle=pickle)
    return Map(decoder, handler)


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


def map_tuple(*functions: Callable[[Any], Any] | None, handler: Handler = reraise_exception) -> MapTuple:
    return MapTuple(functions, handler)


def rename(handler: Handler = reraise_exception, keep: bool = True, **fields: str | Sequence[str]) -> Rename:
    """`rename(image="jpg;png")`: the new name, and the old ones to look for. A sample that has none of them is a SampleError."""
    for old in fields.values():
        if not is_field(old):
            raise SpecError(f"rename takes names of fields, not {show_value(old)}")
    return Rename(tuple([(new, alternatives(old)) for new, old in fields.items()]), keep, handler)


def slice(*bounds: int | None) -> Slice:  # noqa: A001 - WebDataset's name
    return Slice(bounds)


def _replaced(sample: Any, old_names: set[str], renamed: dict[str, Any]) -> Any:
    result = sample.copy()
    for name in old_names:
        result.pop(name, None)
    result.update(renamed)
    return result


def _name(f: Callable[..., Any] | None) -> str:
    return getattr(f, "__qualname__", type(f).__name__)
