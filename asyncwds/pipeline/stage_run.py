"""A stage with a handler in one pass: which item it works on, whom it asks about an error, and what became of the items.

For whoever writes a stage: make it a dataclass with a field `handler`, and pass each error of a sample to `handled`. That is all:
in a pipeline the stage gets a handler that also counts, so that what was skipped stands in `ds.stats().samples_failed`, and
stages know nothing of counters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from asyncwds.errors import EmptyEpochError, SpecError
from asyncwds.pipeline.context import RunContext, StageStream, keeps_nothing, stream_over
from asyncwds.pipeline.lineage import SampleTrace, describe_traces, joined, trace_of
from asyncwds.pipeline.protocol import Stage, Stream
from asyncwds.pipeline.skipping import is_mark, passing_marks
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.handlers import Handler, ask, failure_text
from asyncwds.samples import Sample


class Outcome:
    """What became of the items of a stage in a pass, until the first came out of it. From then on nothing is noted.

    Of the first error only the text is kept: its traceback would keep the stages of an iterator that is dropped.
    """

    def __init__(self, counters: Counters, batchsize: int = 1) -> None:
        self._counters = counters
        self.tally = counters.tally
        self._batchsize = batchsize
        self._came = 0
        self._failed = 0
        self._gave = False
        self._first: str | None = None

    def fail(self, error: Exception) -> None:
        """Notes that the handler is asked about an error."""
        self._counters.samples_failed += 1
        if not self._gave:
            self._failed += 1
            self._first = self._first or failure_text(error)

    def noting_input(self, items: Iterator[object]) -> Iterator[object]:
        return chain(self._counted(items), items)  # by `chain` a later item costs 10 ns

    def noting_output(self, items: Iterator[object]) -> Iterator[object]:
        return chain(self._noticed(items), items)

    def check(self) -> None:
        """Raises EmptyEpochError if items came, and all of them were handed to the handler, `batchsize` at a time.

        What a stage leaves out without an error, as `select` does, is no failure.
        """
        if self._failed and not self._gave and self._came < (self._failed + 1) * self._batchsize:
            what = "samples" if self._batchsize == 1 else "batches"
            raise EmptyEpochError(
                f"nothing came out of the epoch: all {what}, {self._failed}, were handed to a handler; the first: {self._first}",
                failed=self._failed,
            )

    def _counted(self, items: Iterator[object]) -> Iterator[object]:
        for item in items:
            self._came += 1
            yield item
            # Whoever asks for the next one has done with those before: some of them were not handed to a handler.
            self._gave = self._gave or self._came >= (self._failed + 1) * self._batchsize
            if self._gave:
                return

    def _noticed(self, items: Iterator[object]) -> Iterator[object]:
        for item in items:
            self._gave, self._first = True, None
            yield item
            return


class StageRun:
    """For the loop of a stage: `item` is what it works on, and `goes_on` is asked about an error with that."""

    __slots__ = ("_handler", "_outcome", "_source", "_traces", "item", "name")

    def __init__(self, name: str, handler: Handler, source: Stream, outcome: Outcome) -> None:
        self.name = name
        self.item: Any = None
        self._traces: list[tuple[SampleTrace, ...]] = []  # of the items of a batch that don't tell by themselves
        self._handler = handler
        self._source = source
        self._outcome = outcome

    def goes_on(self, error: Exception) -> bool:
        """Notes in the error which stage had which sample, and asks the handler: False is the end of the stage.

        A SpecError is raised, whatever the handler: it says that the pipeline is wrong, as where a library is missing, and
        skipping would lose every sample one by one.
        """
        lineage = self.lineage()
        note_place(error, self.name, lineage)

        def asked(error: Exception) -> bool:
            self._outcome.fail(error)
            self._outcome.tally.fail(error, self.name, lineage)
            return self._handler(error)

        return goes_on(error, asked)

    def drop(self) -> None:
        """The item is left out, and that is no error."""
        self._outcome.tally.drop(self.name, 1 if isinstance(self.item, Sample) else len(self.lineage()))

    def take(self, first: Any, items: Iterator[Any], size: int) -> list[Any]:
        """A batch of up to so many items, which is what the stage works on then."""
        if isinstance(first, Sample):
            self.item = batch = [first, *islice(items, size - 1)]
            return batch
        self.item = batch = [first]
        self._traces = [trace_of(first, self._source)]
        add, note, source, lineage = batch.append, self._traces.append, self._source, self._source.lineage
        for item in islice(items, size - 1):
            add(item)
            note(lineage() if type(item) is tuple else trace_of(item, source))
        return batch

    def lineage(self) -> tuple[SampleTrace, ...]:
        item = self.item
        if type(item) is Sample:
            try:  # `sample_trace`, without the call: batches and shuffles of tuples ask for each item (0.4 -> 0.25 us)
                return ((item["__url__"], item["__key__"], item._origin),)  # noqa: SLF001 - as there
            except (KeyError, AttributeError):
                pass
        return joined(self._traces) if self._traces else trace_of(item, self._source)


Loop = Callable[[Iterator[Any], StageRun], Iterator[Any]]


def open_loop(  # noqa: PLR0917 - what each stage has
    loop: Loop, source: Stream, context: RunContext, name: str, handler: Handler, batchsize: int = 1
) -> StageStream:
    """The stream of a stage that is a generator over its source, and sets `item` for each one that it takes.

    Between two items it keeps nothing.
    """
    outcome = Outcome(context.counters, batchsize)
    context.checks.append(outcome.check)
    run = StageRun(name, handler, source, outcome)
    return StageStream(lambda: loop(outcome.noting_input(iter(source)), run), source, run.lineage, state=keeps_nothing)


def apply_each(function: Callable[[Any], Any], check: Callable[[Any], None] | None = None) -> Loop:
    """The loop of a stage that makes one thing of each item.

    `check` looks at the first result: what is wrong with a pipeline is wrong with that one, and the others cost nothing.
    """

    def results(items: Iterator[Any], run: StageRun) -> Iterator[Any]:
        unchecked = check
        for item in items:
            run.item = item
            try:
                result = function(item)
            except Exception as error:  # noqa: BLE001 - user code and bad samples; the handler decides
                if run.goes_on(error):
                    continue
                return
            if unchecked is not None and not is_mark(result):
                unchecked(result)
                unchecked = None
            yield result

    return results


def open_each(function: Callable[[Any], Any], source: Stream, context: RunContext, name: str, handler: Handler) -> StageStream:
    """The stream of a stage that makes one thing of each item."""
    return open_loop(apply_each(passing_marks(function, context)), source, context, name, handler)


def run_alone(stage: Stage, items: Iterable[Any], context: RunContext | None = None) -> Iterator[Any]:
    """A stage without a pipeline, as functions of WebDataset are called: its items from those given."""
    return iter(stage.open(stream_over(items), context or RunContext(0)))


def function_name(f: Callable[..., Any] | None) -> str:
    """For messages."""
    return getattr(f, "__qualname__", type(f).__name__)


def handled(error: Exception, handler: Handler, stage: str, sample: object) -> bool:
    """Asks the handler about an error with a sample, after noting in it which stage had which sample.

    A SpecError is raised, whatever the handler: it says that the pipeline is wrong, as where a library is missing, and
    skipping would lose every sample one by one.
    """
    note(error, stage, sample)
    return goes_on(error, handler)


def goes_on(error: Exception, handler: Handler) -> bool:
    """What the handler says to an error, but a SpecError is raised: see `handled`."""
    if isinstance(error, SpecError):
        raise error
    return ask(handler, error)


def note(error: Exception, stage: str, sample: object) -> None:
    key = sample.get("__key__") if isinstance(sample, dict) else None
    error.add_note(f"in stage {stage}" + (f", sample {key!r}" if key is not None else ""))


def note_place(error: Exception, stage: str, traces: tuple[SampleTrace, ...]) -> None:
    """Says in the error which stage worked on which samples of which shards."""
    error.add_note(", ".join(filter(None, [f"in stage {stage}", describe_traces(traces)])))


def is_noted(error: BaseException) -> bool:
    return any(note.startswith("in stage ") for note in getattr(error, "__notes__", ()))
