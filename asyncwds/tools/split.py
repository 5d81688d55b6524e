"""`split`: shards of other sizes, and groups of samples: training and validation, by a field."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import NamedTuple

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.tar.raw import RawSample
from asyncwds.tar.raw_runs import RawRun, number_of
from asyncwds.tools.by_shard import is_by_shard, require_one_job, run_by_shard
from asyncwds.tools.copying import describe_run, select, select_runs, write_all
from asyncwds.tools.expressions import parse
from asyncwds.tools.external_sort import sort_raw
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import SEVERAL, Outputs, ShardOutputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection, share_of
from asyncwds.tools.splitting.templates import name_at
from asyncwds.tools.targets import Target

OF_NO_GROUP = "in no group"
MOST_GROUPS = 500
"""Of which each has a file open."""

Group = Callable[[RawSample], str | None]


def split_shards(
    inputs: Inputs,
    outputs: Outputs,
    selection: Selection | None = None,
    *,
    number: int | None = None,
    balance: bool = False,
    ratio: Mapping[str, float] | None = None,
    by_field: str | None = None,
    by_map: str | Mapping[str, str] | None = None,
    unmapped: str = "error",
    jobs: int = 1,
) -> Report:
    """Copies the samples that are wanted, in order, to shards of `outputs.max_count` samples or `outputs.max_size` bytes.

    number     so many shards, whose numbers of samples differ by 1 at most
    balance    with `outputs.max_count`: as few shards as that allows, whose numbers of samples differ by 1 at most
    ratio      groups and their shares, {"train": .98, "val": .02}: by a hash of `selection.seed` and the key, so that a sample
               stays in its group when others come. What is left of 1 is dropped
    by_field   an expression that gives the group of a sample, such as "json.split" or "cls"
    by_map     the group of each key, or a table of them, see `asyncwds.tools.splitting.shard_map`. One that is a template, as
               `cats-%06d`, has a place for the number of its shards: see `asyncwds.tools.splitting.templates`
    unmapped   what is done with samples that are not in the map: "error", "drop", or the group that they are in
    jobs       shards that are worked on at once, in processes, where each has outputs of its own, see `asyncwds.tools.by_shard`

    `number` and `balance` read the headers once more beforehand, to count. Groups need {split} in the pattern. For a map of more
    than 500 groups the samples are sorted by them, as `sort` does.
    Raises SpecError, FetchError, TarError, SampleError; what was being written is dropped then.
    """
    selection = selection or Selection()
    ways = [way for way in (ratio, by_field, by_map) if way is not None]
    checks.require(len(ways) <= 1, "groups are made by ratio, by a field or by a map: one of these")
    checks.require(
        outputs.target is None or Target(outputs.target).is_pattern or bool(ways),
        "split writes to a pattern with {shard}, as out-{shard:06d}.tar",
    )
    if outputs.target is not None and by_map is None:
        checks.require(Target(outputs.target).is_pattern or not outputs.is_bounded, SEVERAL)
    if number is None and not balance and by_map is None and is_by_shard(inputs, outputs, selection, jobs, keeps=False):
        tool = partial(split_shards, ratio=ratio, by_field=by_field)
        return run_by_shard(tool, inputs, outputs, selection, jobs=jobs, run=["split", sorted((ratio or {}).items()), by_field])
    require_one_job(outputs, jobs)
    if ways:
        checks.require(number is None and not balance, "groups have shards by max_count or max_size")
        if by_map is not None:
            return _split_by_map(inputs, outputs, selection, by_map, unmapped)
        group = by_ratio(ratio, selection.seed) if ratio is not None else by_expression(by_field or "")
        return _split_groups(inputs, outputs, selection, Groups(group), [sorted((ratio or {}).items()), by_field])
    if number is None and not balance:
        checks.require(outputs.max_count is not None or outputs.max_size is not None, "split needs max_count, max_size or number")
        report = Report()
        with closing(select_runs(inputs.copied_to(outputs.target), selection, report)) as samples:
            return write_all(samples, outputs, report, describe_run("split", inputs, selection) if outputs.resume else None)
    return _split_evenly(inputs, outputs, selection, number)


def by_ratio(ratio: Mapping[str, float], seed: int) -> Group:
    """Groups by a hash of the key. Raises SpecError for shares that make more than 1."""
    for name, share in ratio.items():
        checks.real(f"the share of {name!r}", share, 0, 1)
    ends = list(accumulate(ratio.values()))
    checks.require(
        bool(ends) and ends[-1] <= 1 + 1e-9, f"the shares of the groups make {ends[-1] if ends else 0}, and at most 1 is there"
    )
    names: list[str | None] = [*ratio, None]
    whole = abs(ends[-1] - 1) < 1e-9

    def group(sample: RawSample) -> str | None:
        place = bisect_right(ends, share_of(sample.key, seed))
        return names[min(place, len(ratio) - 1) if whole else place]

    return group


def by_expression(text: str) -> Group:
    """Groups by a value; samples without one are in none. The group raises SampleError for what cannot be part of a name."""
    expression = parse(text)

    def group(sample: RawSample) -> str | None:
        value = expression.value(sample)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "backslashreplace").strip()
        if value is None or isinstance(value, dict | list):
            return None
        name = str(value)
        if not _can_be_part(name):
            message = f"{text} is {name[:80]!r}, which cannot be part of the name of a shard"
            raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
        return name

    return group


def _can_be_part(name: str) -> bool:
    """Of the name of a shard."""
    return bool(name) and not name.startswith(".") and all(each.isalnum() or each in " ._+-" for each in name)


class Groups(NamedTuple):
    """`of` a sample: its group. With `sort_by`, which says the same again, the samples of a group come after each other, for groups
    of which there are many.
    """

    of: Group
    reason: str = OF_NO_GROUP
    sort_by: Callable[[RawSample], str] | None = None


def _split_by_map(inputs: Inputs, outputs: Outputs, selection: Selection, shards: str | Mapping[str, str], unmapped: str) -> Report:
    from asyncwds.tools.splitting.shard_map import NOT_IN_MAP, MapGroups, load_map  # noqa: PLC0415 - reads tables of all kinds

    if isinstance(shards, str):
        shards = load_map(shards)
    by_map = MapGroups(shards, unmapped)
    if wrong := [name for name in by_map.names if not _can_be_part(name_at(name, 0))]:
        raise SpecError(f"the map has the shard {min(wrong)[:80]!r}, which cannot be part of the name of one")
    groups = Groups(by_map.group, NOT_IN_MAP, by_map.look_up if len(by_map.names) > MOST_GROUPS else None)
    report = _split_groups(inputs, outputs, selection, groups, [sorted(shards.items()), unmapped])
    by_map.report(report)
    return report


def _split_groups(inputs: Inputs, outputs: Outputs, selection: Selection, groups: Groups, options: list[object]) -> Report:
    if outputs.target is not None and "split" not in Target(outputs.target).places:
        raise SpecError("groups need a pattern with {split}, as out/{split}-{shard:06d}.tar", url=outputs.target)
    report = Report()
    journal = outputs.journal(describe_run("split", inputs, selection, options) if outputs.resume else None)
    writers: dict[str, ShardOutputs] = {}
    with (
        BlockingPool("copy") as pool,
        closing(select(inputs, selection, report)) as samples,
        closing(_grouped(samples, groups, report, inputs.memory)) as grouped,
        ExitStack() as open_now,
    ):
        for name, sample in grouped:
            if name not in writers:
                if groups.sort_by is not None:  # those before are complete
                    open_now.close()
                    writers.clear()
                checks.require(
                    len(writers) < MOST_GROUPS, f"there are more than {MOST_GROUPS} groups: is this the field that was meant?"
                )
                writer = ShardOutputs(outputs, report, pool, split=name, journal=journal)
                writers[name] = open_now.enter_context(writer)
            writers[name].write(sample)
    return report.check()


def _grouped(
    samples: Iterable[RawSample], groups: Groups, report: Report, memory: int
) -> Generator[tuple[str, RawSample], None, None]:
    """Those that are in a group, with its name."""
    named = _named(samples, groups, report)
    if groups.sort_by is None:
        yield from named
        return
    with closing(sort_raw((sample for _, sample in named), groups.sort_by, memory=memory)) as in_order:  # type: ignore[type-var]
        for sample in in_order:
            yield groups.sort_by(sample), sample


def _named(samples: Iterable[RawSample], groups: Groups, report: Report) -> Iterator[tuple[str, RawSample]]:
    for sample in samples:
        name = groups.of(sample)
        if name is None:
            report.dropped[groups.reason] += 1
        else:
            yield name, sample


def _split_evenly(inputs: Inputs, outputs: Outputs, selection: Selection, number: int | None) -> Report:
    checks.require("-" not in inputs.urls, "standard input can be read once only: number and balance count the samples first")
    total = count_selected(inputs, selection)
    if number is None:
        checks.require(outputs.max_count is not None, "balance needs max_count")
        number = -(-total // (outputs.max_count or 1))
    checks.whole("number", number, 0)
    report = Report()
    run = describe_run("split", inputs, selection, number) if outputs.resume else None
    unlimited = replace(outputs, max_count=None, max_size=None)
    ends = sorted({total * shard // number for shard in range(1, number)}) if number else []
    with (
        BlockingPool("copy") as pool,
        closing(select_runs(inputs.copied_to(outputs.target), selection, report)) as items,
        ShardOutputs(unlimited, report, pool, journal=outputs.journal(run)) as writer,
    ):
        place = 0
        for item in items:
            for part in _cut(item, [end - place for end in ends if place < end < place + number_of(item)]):
                if place in ends:
                    writer.next_shard()
                writer.write(part)
                place += number_of(part)
    return report.check()


def _cut(item: RawSample | RawRun, places: list[int]) -> Iterator[RawSample | RawRun]:
    """What of it stands before, between and behind places, which are in order."""
    if isinstance(item, RawSample):
        yield item
        return
    for first, stop in pairwise([0, *places, len(item)]):
        yield item.cut(first, stop)


def count_selected(inputs: Inputs, selection: Selection) -> int:
    """How many samples are wanted."""
    with closing(select_runs(inputs, selection, Report())) as items:
        return sum(map(number_of, items))
