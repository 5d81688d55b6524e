"""What only all shards together show: keys in several of them, fields that differ, unequal sizes. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

import numpy as np

from asyncwds.errors import redact
from asyncwds.formatting.texts import plural
from asyncwds.tools.verify.names import split_keys
from asyncwds.tools.verify.rules import Finding
from asyncwds.tools.verify.samples import same_values
from asyncwds.tools.verify.shard import ShardReport

UNEQUAL = 2  # times more, or less, than the median
_SHOWN = 12  # names of fields in a message

Fields = tuple[str, ...]


def check_dataset(reports: Sequence[ShardReport], require: Sequence[Sequence[str]], *, hub: bool) -> Iterator[Finding]:
    """What there is to say of shards in their order; `require` has the fields that samples must have, each with alternatives."""
    yield from _find_shared_keys(reports)
    yield from _find_other_fields(reports)
    for report in reports:
        yield from _find_missing(report, require)
        yield from _find_split_keys(report)
    if hub:
        yield from _check_for_hub(reports)
    yield from _find_unequal(reports)


def _find_shared_keys(reports: Sequence[ShardReport]) -> Iterator[Finding]:
    keyed = [report for report in reports if report.keys is not None]
    if len(keyed) < 2:
        return
    hashes = np.concatenate([report.keys.hashes for report in keyed if report.keys is not None])
    shard_of = np.repeat(np.arange(len(keyed)), [report.samples for report in keyed])
    starts = np.cumsum([0, *[report.samples for report in keyed]])
    suspects = np.array(same_values(hashes), dtype=np.int64)
    first: dict[str, int] = {}
    for number in np.unique(shard_of[suspects]).tolist():
        report = keyed[number]
        assert report.keys is not None
        texts = report.keys.texts()
        here = dict.fromkeys(texts[place - starts[number]] for place in suspects[shard_of[suspects] == number].tolist())
        for key in here:
            other = first.setdefault(key, number)
            if other != number:
                yield Finding("W12", f"{redact(keyed[other].url)} has a sample with the key {key[:200]!r}, too", report.url, key)


def _find_other_fields(reports: Sequence[ShardReport]) -> Iterator[Finding]:
    totals: Counter[frozenset[str]] = Counter()
    for report in reports:
        for schema, (count, _) in report.schemas.items():
            totals[frozenset(schema)] += count
    if len(totals) < 2:
        return
    usual = max(totals, key=lambda fields: (totals[fields], len(fields)))
    for report in reports:
        for fields, (count, key) in _by_set(report.schemas).items():
            if fields != usual:
                yield Finding("W14", f"{plural(count, 'sample')} {_describe(fields, usual)}", report.url, key, count=count)


def _by_set(schemas: dict[Fields, tuple[int, str]]) -> dict[frozenset[str], tuple[int, str]]:
    found: dict[frozenset[str], tuple[int, str]] = {}
    for schema, (count, key) in schemas.items():
        before, first = found.get(frozenset(schema), (0, key))
        found[frozenset(schema)] = before + count, first
    return found


def _describe(fields: frozenset[str], usual: frozenset[str]) -> str:
    lack, more = usual - fields, fields - usual
    said = [f"without {_names(lack)}"] * bool(lack) + [f"with {_names(more)}"] * bool(more)
    return " and ".join(said) + f", where most have {_names(usual)}"


def _names(fields: Iterable[str]) -> str:
    names = sorted(fields)
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*[name[:60] for name in names[:_SHOWN]], *more])


def _find_missing(report: ShardReport, require: Sequence[Sequence[str]]) -> Iterator[Finding]:
    for alternatives in require:
        lacking = [found for schema, found in report.schemas.items() if not set(alternatives) & set(schema)]
        if lacking:
            count, key = sum(count for count, _ in lacking), lacking[0][1]
            message = f"{plural(count, 'sample')} without {' or '.join(alternatives)}"
            yield Finding("W15", message, report.url, key, count=count)


def _find_split_keys(report: ShardReport) -> Iterator[Finding]:
    fields: Counter[str] = Counter()
    first: dict[str, str] = {}
    for schema, (count, key) in report.schemas.items():
        for name in schema:
            fields[name] += count
            first.setdefault(name, key)
    found = split_keys(fields)
    if found:
        key = first[found[0]]
        message = (
            f"{plural(len(found), 'field')} in one sample each, as {found[0][:60]!r} of the key {key[:100]!r}: is that its name?"
        )
        yield Finding("W22", message, report.url, key, count=len(found))


def _check_for_hub(reports: Sequence[ShardReport]) -> Iterator[Finding]:
    first = reports[0].first if reports else []
    if len(set(first)) > 1:
        shown = "; ".join(_names(fields) for fields in dict.fromkeys(first))
        yield Finding("W16", f"the first {plural(len(first), 'sample')} have different fields: {shown}", reports[0].url)


def _find_unequal(reports: Sequence[ShardReport]) -> Iterator[Finding]:
    sound = [report for report in reports if report.samples and not report.unread]
    if len(sound) < 3:
        return
    usual = median([report.samples for report in sound])
    for report in sound:
        few = report.samples * UNEQUAL < usual and report is not sound[-1]
        if few or report.samples > usual * UNEQUAL:
            yield Finding("W19", f"{plural(report.samples, 'sample')}, and the median of all shards is {usual:g}", report.url)
