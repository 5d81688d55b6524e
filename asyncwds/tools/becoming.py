"""From each sample none, one or several: what `proc`, `map` and `video split` have in common."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence

from asyncwds.errors import DuplicateFieldError, SampleError
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import DAMAGED
from asyncwds.tools.inputs import ErrorPolicy, Inputs
from asyncwds.tools.report import Report

Outcome = Sequence[RawSample] | SampleError
"""What a sample became, or why that failed."""


def take_outcomes(
    outcomes: Iterable[tuple[RawSample, Outcome]], inputs: Inputs, report: Report, nothing: str
) -> Iterator[RawSample]:
    """What the samples became. Those that became nothing are dropped for this reason; `inputs.on_error` decides about errors."""
    errors = ErrorPolicy(inputs, report)
    for _, outcome in outcomes:
        if isinstance(outcome, SampleError):
            goes_on = errors.handle(outcome)
            report.dropped[DAMAGED] += 1
            if not goes_on:
                return
        elif not outcome:
            report.dropped[nothing] += 1
        else:
            report.made += len(outcome) - 1
            yield from outcome


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
