"""The stages that call a function with each sample: what replaces it, decodes its fields, or says whether to keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

from asyncwds import checks
from asyncwds.codecs.decoders import Decoder, FieldDecoder, FieldHandler
from asyncwds.codecs.field_loaders import Allowed
from asyncwds.compression.decompress import MAX_UNPACKED
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.item_functions import INSTEAD, NumberOfWorkers, item_function, open_calls, require_function, resumed
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.skipping import passing_marks
from asyncwds.pipeline.stage_run import Loop, StageRun, function_name, open_loop, run_alone
from asyncwds.runtime.handlers import Handler, reraise_exception


@dataclass(frozen=True, slots=True)
class Map:
    """Replaces each sample by `f(sample)`; None drops it. With `workers`, so many calls are made at once, ahead of the consumer."""

    passes_marks: ClassVar[bool] = True
    f: Callable[..., Any]
    handler: Handler = reraise_exception
    workers: NumberOfWorkers = None

    def __post_init__(self) -> None:
        checks.workers("map: workers", self.workers)
        require_function("map: f", self.f, self.workers)
        checks.function("map: handler", self.handler, takes=1)

    @property
    def one_to_one(self) -> bool:
        """Of most functions nobody knows for which samples they give None."""
        return getattr(self.f, "one_to_one", False)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        name = f"map({function_name(self.f)})"
        return open_calls(_loop, item_function(self.f), source, context, name, self.handler, self.workers)

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        return self.open(source, resumed(context, state))


def _loop(f: Callable[[Any], Any]) -> Loop:
    return partial(_mapped, f)


def _mapped(f: Callable[[Any], Any], items: Iterator[Any], run: StageRun) -> Iterator[Any]:
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
        else:
            run.drop()


def keyed(sample: Any, result: Any) -> Any:
    """What `map` makes of a function's result: a dict made from a sample inherits its key, unless it has one."""
    if not isinstance(result, dict):
        checks.refuse_coroutine("map", result, instead=INSTEAD)
    elif isinstance(sample, dict) and "__key__" in sample:
        result.setdefault("__key__", sample["__key__"])
    return result


def map(  # noqa: A001 - WebDataset's name
    f: Callable[..., Any], handler: Handler = reraise_exception, *, workers: NumberOfWorkers = None
) -> Map:
    """Applies a function to each sample; one for which it returns None is dropped.

    With `workers`, so many calls are made at once.
    """
    return Map(f, handler, workers)


def decode(
    *handlers: FieldHandler | str,
    pre: Sequence[FieldHandler] | None = None,
    post: Sequence[FieldHandler] | None = None,
    only: str | Iterable[str] | None = None,
    partial: bool = False,
    decoders: Mapping[str, FieldDecoder] | None = None,
    max_unpacked: int = MAX_UNPACKED,
    pickle: Allowed = None,
    min_size: int | None = None,
    handler: Handler = reraise_exception,
    workers: NumberOfWorkers = None,
) -> Map:
    """Decodes the fields of each sample, see `Decoder`. A sample with a field that cannot be decoded is a DecodeError.

    With `workers`, so many samples are decoded at once, in threads.
    """
    checks.workers("decode: workers", workers)
    decoder = Decoder(
        handlers, pre, post, only, partial, decoders=decoders, max_unpacked=max_unpacked, pickle=pickle, min_size=min_size
    )
    return Map(decoder, handler, workers)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Select:
    """Keeps the samples for which `predicate(sample)` is true."""

    passes_marks: ClassVar[bool] = True
    predicate: Callable[[Any], Any]
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("select: predicate", self.predicate, takes=1)
        checks.function("select: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        predicate = passing_marks(self.predicate, context)
        return open_loop(partial(_selected, predicate), source, context, f"select({function_name(self.predicate)})", self.handler)


def _selected(predicate: Callable[[Any], Any], items: Iterator[Any], run: StageRun) -> Iterator[Any]:
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
        else:
            run.drop()


def select(predicate: Callable[[Any], Any], handler: Handler = reraise_exception) -> Select:
    return Select(predicate, handler)
