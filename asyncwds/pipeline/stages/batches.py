"""The stages that collect samples in batches, and that take batches apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, ClassVar

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import ResumableStageStream, RunContext, StageStream
from asyncwds.pipeline.lineage import SampleTrace, trace_of
from asyncwds.pipeline.protocol import JsonValue, ResumableStream, Stream
from asyncwds.pipeline.stage_run import StageRun, open_loop, run_alone
from asyncwds.pipeline.stages.collation import Collation, default_collation_fn, with_tensors
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.handlers import Handler, reraise_exception

__all__ = ["Batched", "Collation", "Unbatched", "Unlisted", "batched", "default_collation_fn", "listed", "unbatched", "unlisted"]


@dataclass(frozen=True, slots=True)
class Batched:
    """Collects `batchsize` samples at a time; without `collation_fn` as lists. `partial` keeps a last batch that is smaller.

    `tensors` makes torch tensors of the batch's arrays.
    """

    batchsize: int = 20
    collation_fn: Collation | None = default_collation_fn
    partial: bool = True
    handler: Handler = reraise_exception
    tensors: bool = False

    def __post_init__(self) -> None:
        checks.whole_fields(self, 1, "batchsize")
        checks.function("batched: collation_fn", self.collation_fn, optional=True, takes=1)
        checks.function("batched: handler", self.handler, takes=1)
        for name in ("partial", "tensors"):
            checks.flag(f"batched: {name}", getattr(self, name))

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def gathered(self, items: int) -> int:
        """How many batches these are, unless the handler skips some."""
        whole, rest = divmod(items, self.batchsize)
        return whole + (rest > 0 and self.partial)

    def open(self, source: Stream, context: RunContext) -> Stream:
        return open_loop(self._batches, source, context, f"batched({self.batchsize})", self.handler, self.batchsize)

    def _batches(self, items: Iterator[Any], run: StageRun) -> Iterator[Any]:
        if self.tensors:
            require_extra("torch", "torch")
        for first in items:
            batch = run.take(first, items, self.batchsize)
            if len(batch) < self.batchsize and not self.partial:
                run.drop()
                return
            try:
                collated = batch if self.collation_fn is None else self.collation_fn(batch)
                if self.tensors:
                    collated = with_tensors(collated)
            except Exception as error:  # noqa: BLE001 - user code and samples that don't match; the handler decides
                if run.goes_on(error):
                    continue
                return
            checks.refuse_coroutine("batched", collated)
            yield collated


@dataclass(frozen=True, slots=True)
class Unbatched:
    """Batches of columns → samples: a tuple or list gives tuples, a dict gives dicts. Nested dicts of columns come apart too."""

    takes_apart: ClassVar[bool] = True
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("unbatched: handler", self.handler, takes=1)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:
        return self._stream(source, context, Rows())

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:
        return self._stream(source, context, Rows.after(state))

    def _stream(self, source: Stream, context: RunContext, rows: Rows) -> ResumableStream:
        stream = open_loop(partial(self._rows, rows), source, context, "unbatched", self.handler)
        return ResumableStageStream(stream, partial(rows.state, stream.lineage))

    def _rows(self, given: Rows, items: Iterator[Any], run: StageRun) -> Iterator[Any]:
        for batch in items:
            run.item = batch
            try:
                rows, number = _rows(batch)
            except Exception as error:  # noqa: BLE001 - batches that are none; the handler decides
                if run.goes_on(error):
                    continue
                return
            yield from given.of(rows, number)


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Lists → their items."""

    takes_apart: ClassVar[bool] = True

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> ResumableStream:  # noqa: ARG002 - the protocol
        return self._stream(source, Rows())

    def reopen(self, source: Stream, context: RunContext, state: JsonValue) -> ResumableStream:  # noqa: ARG002 - the protocol
        return self._stream(source, Rows.after(state))

    def _stream(self, source: Stream, rows: Rows) -> ResumableStream:
        run = UnlistedRun(source, rows)
        return ResumableStageStream(StageStream(run.items, source, run.lineage), partial(rows.state, run.lineage))


class UnlistedRun:
    """The same in one pass."""

    def __init__(self, source: Stream, rows: Rows) -> None:
        self._source = source
        self._rows = rows
        self._batch: Any = None

    def items(self) -> Iterator[Any]:
        for batch in self._source:
            if not isinstance(batch, list):
                raise SpecError(f"unlisted needs lists, not {type(batch).__name__}; unbatched takes columns apart")
            self._batch = batch
            yield from self._rows.of(iter(batch), len(batch))

    def lineage(self) -> tuple[SampleTrace, ...]:
        return trace_of(self._batch, self._source)


class Rows:
    """How many rows of the latest batch were given; of the next one, `passed` are passed over."""

    def __init__(self, passed: int = 0) -> None:
        self._passed = passed
        self._given = self._number = 0

    def of(self, rows: Iterator[Any], number: int) -> Iterator[Any]:
        passed, self._passed = self._passed, 0
        self._given, self._number = passed, number
        for row in islice(rows, passed, None):
            self._given += 1
            yield row
        self._given = 0

    def state(self, lineage: Callable[[], tuple[SampleTrace, ...]]) -> dict[str, Any]:
        held = [lineage()] if self._given else []
        return {"held": held, "row": self._given or self._passed, "rows": self._number}

    @classmethod
    def after(cls, state: Any) -> Rows:
        """Raises SpecError for what is not the state of such a stage."""
        try:
            return cls(int(state["row"]) if state["held"] else 0)
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"not the state of a stage that takes batches apart: {show_value(state)}") from error


def _rows(batch: Any) -> tuple[Iterator[Any], int]:
    if not isinstance(batch, (tuple, list, dict)):
        raise SpecError(f"unbatched needs tuples, lists or dicts of columns, not {type(batch).__name__}; batched belongs before it")
    columns = [_entries(column) for column in (batch.values() if isinstance(batch, dict) else batch)]
    lengths = [len(column) if hasattr(column, "__len__") else None for column in columns]
    if None in lengths or (len(set(lengths)) != 1 and any(isinstance(column, (bytes, str)) for column in columns)):
        raise SpecError(f"unbatched needs columns, not {[type(column).__name__ for column in columns]}; batched belongs before it")
    if len(set(lengths)) != 1:
        raise SampleError(f"the columns of a batch must be of one length, not {lengths}")
    rows = zip(*columns, strict=True)
    dicts = (dict(zip(batch, row, strict=True)) for row in rows) if isinstance(batch, dict) else rows
    return dicts, lengths[0] or 0


def _entries(column: Any) -> Any:
    return list(_rows(column)[0]) if isinstance(column, dict) else column


def batched(
    batchsize: int = 20,
    collation_fn: Collation | None = default_collation_fn,
    partial: bool = True,
    handler: Handler = reraise_exception,
    tensors: bool = False,
) -> Batched:
    """Batches of `batchsize` samples; the handler is asked about those that cannot be collated.

    Numbers and numpy arrays are stacked as numpy arrays, also beside torch tensors. A DataLoader makes tensors of them; in a
    loop without one, `tensors=True` does.
    """
    return Batched(batchsize, collation_fn, partial, handler, tensors)


def listed(batchsize: int = 20, partial: bool = True) -> Batched:
    """Lists of `batchsize` samples."""
    return Batched(batchsize, None, partial)


def unbatched(handler: Handler = reraise_exception) -> Unbatched:
    """Batches of columns → samples. Columns of different lengths are a SampleError."""
    return Unbatched(handler)


def unlisted() -> Unlisted:
    """Lists of samples → samples."""
    return Unlisted()
