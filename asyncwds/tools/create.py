"""`create`: shards of what is no shard yet: folders, archives, recipes, tables, data sets of Hugging Face."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.formatting.texts import printable
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.tools.creating.arranging import keep_keys_apart, make_windows, require_fields
from asyncwds.tools.creating.draft import Draft
from asyncwds.tools.creating.packing import pack_in_processes
from asyncwds.tools.creating.sources import KINDS, Reading, guess_kind, open_drafts
from asyncwds.tools.making import SampleMaker
from asyncwds.tools.outputs import Outputs, ShardOutputs
from asyncwds.tools.report import Report


@dataclass(frozen=True, kw_only=True)
class Creation:
    """How samples are made of a source.

    kind        "dir", "images", "zip", "tar", "recipe", "csv", "tsv", "jsonl", "lines", "parquet", "arrow", "hf"; None goes by the
                name
    key_from    of files: "path", or "stem", "re:PATTERN"; of rows: a format as "{index:09d}", or "col:NAME"
    dots        "first": the first dot of a name ends the key; "last": the last one, and others become underscores
    group_by    which files belong together: "dirname", "parent", "re:PATTERN"
    cls_from    the class of a sample, likewise; it becomes the number of its name in their order, in the field cls
    broadcast   names of files, by wildcards, that become fields of all samples of their group
    window      so many samples of a group become one; the next begins `stride` later
    fields      of rows: field → column, "@column" for the file that it names; without it each column is a field
    columns     of rows: only these
    require     fields that each sample has: "jpg;png" for alternatives
    missing     what is done with others: "fail", "warn", "drop"
    duplicates  what is done with a key that comes again: "fail", "rename", "drop"
    shuffle     in a random order of this seed; of rows all are held in memory then
    limit       end after so many samples
    by_group    each group has a shard of its own
    on_error    "fail" raises for a sample that cannot be read or written, "skip" leaves it out and reports it, "stop" ends there
    max_errors  "skip" raises the next error after so many
    name, split   of a data set of Hugging Face
    """

    kind: str | None = None
    key_from: str | None = None
    dots: str = "first"
    group_by: str | None = None
    cls_from: str | None = None
    broadcast: Sequence[str] = ()
    window: int = 1
    stride: int = 1
    fields: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[str] = ()
    require: Sequence[str] = ()
    missing: str = "fail"
    duplicates: str = "fail"
    shuffle: bool = False
    seed: int = 0
    limit: int | None = None
    by_group: bool = False
    on_error: str = "fail"
    max_errors: int | None = None
    name: str | None = None
    split: str = "train"

    def __post_init__(self) -> None:
        checks.one_of("kind", self.kind, (None, *KINDS))
        checks.one_of("on_error", self.on_error, ("fail", "skip", "stop"))
        checks.whole("window", self.window, 1)
        checks.whole("stride", self.stride, 1)
        if self.by_group and (self.group_by is None or self.shuffle):
            raise SpecError("a shard for each group takes group_by, and no shuffle")

    @property
    def reading(self) -> Reading:
        return Reading(
            self.key_from, self.dots, self.group_by, self.cls_from, self.broadcast, self.fields, self.columns, self.name, self.split
        )


def create_shards(
    source: str | os.PathLike[str],
    outputs: Outputs,
    creation: Creation | None = None,
    show: Callable[[Report], object] | None = None,
    *,
    jobs: int = 1,
) -> Report:
    """Writes shards of a source; `show` is called with the report as it grows.

    jobs   so many processes read what samples are made of, and encode it, while this one writes

    The same source and options give the same bytes, however many jobs there are. Raises SpecError for arguments that make no sense,
    SampleError for what cannot become a sample, and FetchError where something cannot be read or written.
    """
    checks.whole("jobs", jobs, 1)
    creation = creation or Creation()
    checks.require(creation.on_error != "stop" or jobs == 1, "with several jobs on_error is fail or skip: others are under way")
    report = Report()
    kept: Counter[str] = Counter()
    kind = creation.kind or guess_kind(os.fspath(source))
    with (
        open_drafts(kind, os.fspath(source), creation.reading, report.left_out) as (drafts, classes),
        BlockingPool("write") as pool,
        ShardOutputs(outputs, report, pool, journal=outputs.journal(["create", os.fspath(source), repr(creation)])) as sink,
    ):
        arranged = _arranged(drafts, creation, report, kept)
        writing = _Writing(creation, report, sink, show or (lambda _: None))
        if jobs == 1:
            writing.write_each(arranged)
        else:
            writing.write_packed(arranged, jobs)
    if classes:
        report.notes["classes"] = classes
    report.notes |= {f"kept {what}": count for what, count in kept.items()}
    return report.check()


def _arranged(drafts: Iterable[Draft], creation: Creation, report: Report, kept: Counter[str]) -> Iterator[Draft]:
    if creation.window > 1:
        drafts = make_windows(drafts, creation.window, creation.stride, report.left_out)
    if creation.shuffle:
        listed = list(drafts)
        random.Random(creation.seed).shuffle(listed)  # noqa: S311 - no secret
        drafts = listed
    drafts = _counted(drafts, report)
    if creation.require:
        drafts = require_fields(drafts, creation.require, creation.missing, report.dropped, kept)
    return islice(keep_keys_apart(drafts, creation.duplicates, report.dropped), creation.limit)


def _counted(drafts: Iterable[Draft], report: Report) -> Iterator[Draft]:
    for draft in drafts:
        report.samples_in += 1
        yield draft


class _Writing:
    """Drafts into shards."""

    def __init__(self, creation: Creation, report: Report, sink: ShardOutputs, show: Callable[[Report], object]) -> None:
        self._creation = creation
        self._report = report
        self._sink = sink
        self._show = show
        self._group: str | None = None

    def write_each(self, drafts: Iterable[Draft]) -> None:
        make = SampleMaker()
        for draft in drafts:
            self._begin(draft.group)
            try:
                sample = make(draft.sample(), draft.origin)
            except SampleError as error:
                if self._creation.on_error == "fail":
                    raise
                self._leave_out([printable(str(error))])
                if self._creation.on_error == "stop":
                    return
                continue
            self._sink.write(sample)
            self._show(self._report)

    def write_packed(self, drafts: Iterable[Draft], jobs: int) -> None:
        """The same of what processes make of them."""
        with closing(pack_in_processes(drafts, jobs, skips=self._creation.on_error == "skip")) as results:
            for group, run, errors, failure in results:
                self._begin(group)
                self._leave_out(errors)
                self._sink.write(run)
                for _ in run.keys:
                    self._show(self._report)
                if failure is not None:
                    raise failure

    def _begin(self, group: str) -> None:
        if self._creation.by_group and group != self._group:
            self._sink.next_shard()
            self._group = group

    def _leave_out(self, errors: list[str]) -> None:
        if errors:
            self._report.damaged += errors
            self._report.dropped["cannot be read or written"] += len(errors)
        most, found = self._creation.max_errors, self._report.damaged
        if most is not None and len(found) > most:
            raise SampleError(f"{len(found)} errors are more than max_errors, {most}; the last: {found[-1]}")
