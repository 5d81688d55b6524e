"""From each sample none, one or several: what `proc`, `map` and `video split` have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from asyncwds.errors import DuplicateFieldError, SampleError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import DAMAGED
from asyncwds.tools.inputs import ErrorPolicy, Inputs
from asyncwds.tools.outputs import Outputs, ShardOutputs
from asyncwds.tools.report import Report

Outcome = Sequence[RawSample] | SampleError
"""What a sample became, or why that failed."""


Call = Callable[[Iterator[RawSample], int], Generator[tuple[RawSample, Outcome], None, None]]
"""Gives each sample with what it became, in order; also gets how many stood before the first of them."""


def write_outcomes(
    call: Call,
    samples: Iterator[RawSample],
    inputs: Inputs,
    outputs: Outputs,
    report: Report,
    *,
    nothing: str,
    run: Any = None,
    together: int = 1,
) -> Report:
    """Writes what samples become. Those that became nothing are dropped for the reason `nothing`.

    Where the journal of `run` has shards that are complete, `call` does not get the samples that they were made of, but for those
    that would be called with others: so many `together`.
    """
    taken = Taken()
    with (
        BlockingPool("copy") as pool,
        ShardOutputs(outputs, report, pool, journal=outputs.journal(run), mark=lambda: taken.mark(report)) as writer,
    ):
        taken.go_on_from(writer.pass_complete(), report)
        first = taken.samples - taken.samples % together
        taken.pass_over(samples, first, report)
        with closing(call(samples, first)) as outcomes:
            taken.pass_over(outcomes, taken.samples - first, report)
            for one in _take(outcomes, inputs, report, nothing, taken):
                writer.write(one)
    return report.check()


@dataclass
class Taken:
    """How far a run has come: all that `samples` became is written, and `within` of those that the next one became.

    made, dropped, errors   of these samples, as the report has them; errors by the number of the sample
    """

    samples: int = 0
    within: int = 0
    made: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    errors: dict[str, list[str]] = field(default_factory=dict)
    passed: int = 0

    def mark(self, report: Report) -> dict[str, Any]:
        """For a journal."""
        known = {"samples": self.samples, "within": self.within, "made": self.made, "errors": self.errors}
        return {**known, "dropped": dict(self.dropped), "renumbered": report.renumbered}

    def go_on_from(self, mark: Mapping[str, Any] | None, report: Report) -> None:
        """As if these samples had been taken just now."""
        if mark is None:
            return
        self.samples, self.within, self.made, self.errors = (mark[name] for name in ("samples", "within", "made", "errors"))
        self.dropped = Counter(mark["dropped"])
        report.made += self.made
        report.dropped.update(self.dropped)
        report.renumbered = mark["renumbered"]

    def pass_over(self, items: Iterator[object], number: int, report: Report) -> None:
        """Items of samples that were taken before."""
        for _ in islice(items, number):
            report.damaged += self.errors.get(str(self.passed), [])
            self.passed += 1


def _take(
    outcomes: Iterable[tuple[RawSample, Outcome]], inputs: Inputs, report: Report, nothing: str, taken: Taken
) -> Iterator[RawSample]:
    """What the samples became; `inputs.on_error` decides about errors."""
    errors = ErrorPolicy(inputs, report)
    for _, outcome in outcomes:
        if isinstance(outcome, SampleError):
            known = len(report.damaged)
            goes_on = errors.handle(outcome)
            report.dropped[DAMAGED] += 1
            if not goes_on:
                return
            taken.dropped[DAMAGED] += 1
            taken.errors[str(taken.samples)] = report.damaged[known:]
        elif not outcome:
            report.dropped[nothing] += 1
            taken.dropped[nothing] += 1
        else:
            report.made += len(outcome) - 1
            for one in outcome[taken.within :]:
                yield one
                taken.within += 1
            taken.made += len(outcome) - 1
        taken.samples, taken.within = taken.samples + 1, 0


def with_sole_fields(
    samples: Iterable[RawSample], inputs: Inputs, report: Report, taken: Collection[str] = ()
) -> Generator[RawSample, None, None]:
    """Samples that can become something else without the loss of a field: none is given twice, or has a name that is `taken`.

    `inputs.on_error` decides about others, as readers of shards have it.
    """
    errors = ErrorPolicy(inputs, report)
    for sample in samples:
        name = _lost_member(sample, taken)
        if name is None:
            yield sample
            continue
        goes_on = errors.handle(duplicate_field(sample, name))
        report.dropped[DAMAGED] += 1
        if not goes_on:
            return


def _lost_member(sample: RawSample, taken: Collection[str]) -> str | None:
    seen = set(taken)
    for member in sample.members:
        if member.field in seen:
            return member.name
        seen.add(member.field)
    return None


def duplicate_field(sample: RawSample, name: str) -> DuplicateFieldError:
    message = f"member {name!r} gives a field that its sample already has"
    return DuplicateFieldError(message, url=sample.url, offset=sample.offset, key=sample.key)


def placed(error: SampleError, sample: RawSample) -> SampleError:
    """The error with the place of the sample."""
    return SampleError(error.message, url=sample.url, offset=sample.offset, key=sample.key)
