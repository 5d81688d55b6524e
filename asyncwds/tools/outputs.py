"""Samples in, shards out: `Outputs` says where to and how large, `ShardOutputs` writes.

Members are written as they came. Each shard becomes visible when it is complete, also in a bucket; what fails or is interrupted
leaves the shards before it, and nothing of the one that was begun. No shard is replaced unless that is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.runtime.blocking import BlockingPool, wait_until_done
from asyncwds.settings.access import Access
from asyncwds.shards.urls import local_path
from asyncwds.tar.building import size_with_end
from asyncwds.tar.raw import RawSample
from asyncwds.tar.raw_runs import RawRun, number_of
from asyncwds.tools.archives import RawArchive, Written
from asyncwds.tools.naming import InputShard
from asyncwds.tools.post import check_post, run_post, wants_sha256
from asyncwds.tools.report import Report
from asyncwds.tools.selection import with_key
from asyncwds.tools.splitting.templates import is_template, name_at
from asyncwds.tools.targets import Target, exists

if TYPE_CHECKING:
    from concurrent.futures import Future

    from asyncwds.tools.journal import Journal

SameKey = Literal["fail", "number"]
SEVERAL = "several shards need a pattern with {shard}, as out-{shard:06d}.tar"
MARK = "mark"
"""Of a shard in a journal: how far the run had come when the shard had all its samples."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """target        a path, a URL, `-`, or a pattern, see `Target`; None with `dry_run` writes to nowhere
    max_count     most samples of a shard
    max_size      most bytes of a shard, headers and end included, before compression; a larger sample has a shard of its own
    part          the number that {part} stands for
    force         replace shards that are there
    post          a command for each complete shard, see `asyncwds.tools.post`; a status other than 0 is an error
    delete_after  remove a local shard once `post` has ended well
    resume        keep a journal, and leave out what it says is complete
    dry_run       write nothing, and report what would be written
    same_key      "fail" or "number": a sample with the key of the one before it in a shard would come back as one with it. It is a
                  SampleError, or gets a number behind its key, and the report counts it
    written       called with each shard that is complete, as the report has it
    hashed        keep the SHA-256 of each shard for the report
    of            the shard that all samples come from: {name} is its name, and {shard} its number where nothing bounds shards
    """

    target: str | None
    max_count: int | None = None
    max_size: int | None = None
    part: int | None = None
    force: bool = False
    post: str | None = None
    delete_after: bool = False
    resume: bool = False
    dry_run: bool = False
    same_key: SameKey = "fail"
    hashed: bool = False
    written: Callable[[Mapping[str, Any]], object] | None = None
    access: Access = field(default_factory=Access)
    of: InputShard | None = None

    def __post_init__(self) -> None:
        for name in ("max_count", "max_size"):
            if getattr(self, name) is not None:
                checks.whole(name, getattr(self, name), 1)
        checks.one_of("same_key", self.same_key, ("fail", "number"))
        if self.target is None:
            checks.require(self.dry_run, "nothing says where to write: -o")
            return
        target = Target(self.target)
        may_be_several = target.is_pattern or "split" in target.places  # by the names of groups
        checks.require(may_be_several or not self.is_bounded, SEVERAL)
        if self.post is not None:
            check_post(self.post)
        checks.require(self.post is not None or not self.delete_after, "delete_after is for shards that a post command has taken")

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound for the size of a shard, at which the next one begins."""
        return self.max_count is not None or self.max_size is not None

    def journal(self, run: Any) -> Journal | None:
        """The journal of a run, if one is kept. `run` describes inputs and options, all that shards depend on."""
        if not self.resume or self.target is None or self.dry_run:
            return None
        from asyncwds.tools.journal import Journal  # noqa: PLC0415 - most do without

        target = Target(self.target)
        if self.target == "-" or not target.places:
            raise SpecError("only runs that write a pattern of shards can be resumed, as out-{shard:06d}.tar", url=self.target)
        name = f"{self.target}.journal" if self.part is None else f"{self.target}.{self.part}.journal"
        return Journal(name, [run, self.max_count, self.max_size, self.same_key], self.access)

    def has(self, record: Mapping[str, Any]) -> bool:
        """Whether a shard that a journal says is complete is still there."""
        path = local_path(record["url"])
        if self.delete_after or path is None:
            return True
        return Path(path).is_file() and Path(path).stat().st_size == record["bytes"]


class _Ending(NamedTuple):
    """An archive that has all its samples, and is being completed."""

    url: str
    archive: RawArchive
    written: Future[Written]
    mark: Any


class ShardOutputs:
    """Writes samples to shards in order, and enters them in the report. `with` completes the last one, or drops it after an error.

    In a bucket a shard is completed while the next one is written: the last parts of its upload would keep that waiting.

    split   the group of samples that these are, for {split}; or a template of their shards' names
    pool    a single thread, which several may share
    mark    what the journal is to keep of a run with each shard, as it is when the shard has all its samples: for `pass_complete`
    """

    def __init__(
        self,
        outputs: Outputs,
        report: Report,
        pool: BlockingPool,
        *,
        split: str | None = None,
        journal: Journal | None = None,
        mark: Callable[[], Any] | None = None,
    ) -> None:
        self._outputs = outputs
        self._report = report
        self._pool = pool
        self._split = split
        self._journal = journal
        self._mark = mark
        self._target = None if outputs.target is None else Target(outputs.target)
        of_one = outputs.of is not None and not outputs.is_bounded
        has_numbers = self._target is not None and (self._target.is_pattern or is_template(split or ""))
        self._is_single = not has_numbers or of_one
        self._hashed = outputs.hashed or wants_sha256(outputs.post)
        self._open: RawArchive | _Counted | None = None
        self._ending: _Ending | None = None
        self._url = ""
        self._shard = 0
        self._last_keys: tuple[str, ...] = ()  # of the sample before: its own, and the one that it was given
        self._same = 0  # samples in a row that had the same key
        self._name()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._drop(error)
            return
        try:
            self.close()
        except BaseException as failure:
            self._drop(failure)
            raise

    def pass_complete(self) -> Any:
        """Leaves out the shards that the journal has, from the first one on, with their samples. Returns the mark of the last."""
        mark = None
        while not self._is_single and (record := self._record(self._name())) is not None and MARK in record:
            mark = record.pop(MARK)
            self._report.shards.append(record)
            self._report.samples_out += record["samples"]
            self._shard += 1
        return mark

    def write(self, item: RawSample | RawRun) -> None:
        """A sample to a new shard, if the present one has no room for it; a run to as many as it takes."""
        if isinstance(item, RawSample):
            self._write_sample(item)
            return
        first = 0
        while first < len(item):
            first = self._write_some(item, first)

    def _write_some(self, run: RawRun, first: int) -> int:
        """As many samples from the first on as the shard has room for. Returns the number of the next one."""
        if self._open is not None and self._fits(self._open, run, first) == first:
            self.next_shard()
        if self._open is None:
            self._begin()
        assert self._open is not None
        if run.keys[first] in self._last_keys:
            self._write_sample(run.sample(first))
            return first + 1
        stop = max(first + 1, self._fits(self._open, run, first))
        self._open.append(run.cut(first, stop))
        self._last_keys, self._same = (run.keys[stop - 1],), 0
        self._report.samples_out += stop - first
        return stop

    def _fits(self, archive: RawArchive | _Counted, run: RawRun, first: int) -> int:
        """The number of the sample behind those for which there is room."""
        stop, start = len(run), run.offsets[first]
        if self._outputs.max_count is not None:
            stop = min(stop, first + self._outputs.max_count - archive.samples)
        if self._outputs.max_size is not None:
            ends, largest = run.offsets[: stop + 1], self._outputs.max_size
            stop = bisect_right(ends, largest, first + 1, key=lambda end: archive.size_with(end - start)) - 1
        return stop

    def _write_sample(self, sample: RawSample) -> None:
        if self._open is not None and not self._has_room(self._open, sample):
            self.next_shard()
        if self._open is None:
            self._begin()
        key, last = sample.key, self._last_keys
        if key in last:
            sample = self._with_other_key(sample)
        else:
            self._same = 0
        self._last_keys = (key, sample.key)
        assert self._open is not None
        self._open.append(sample)
        self._report.samples_out += 1

    def next_shard(self) -> None:
        """Completes the present shard; the next sample begins another one."""
        self._finish_ending()
        archive, self._open = self._open, None
        if archive is None:
            return
        mark = None if self._mark is None else self._mark()
        if isinstance(archive, RawArchive) and archive.is_remote:
            self._ending = _Ending(self._url, archive, self._pool.submit(archive.commit), mark)
            return
        try:
            written = archive.commit()
        except BaseException:
            archive.abort()
            raise
        self._complete(self._url, written, mark, was_there=isinstance(archive, _Counted))

    def _finish_ending(self) -> None:
        """Waits for the shard that is being completed, if there is one."""
        if self._ending is None:
            return
        wait_until_done(self._ending.written)
        ending, self._ending = self._ending, None
        try:
            self._complete(ending.url, ending.written.result(), ending.mark, was_there=False)
        except BaseException:
            ending.archive.abort()
            raise
        finally:
            del ending  # an error of its leads here: in a circle they would keep files open

    def close(self) -> None:
        """Completes the last shard. A single output is written without samples too."""
        if self._open is None and not self._shard and self._is_single:
            self._begin()
        self.next_shard()
        self._finish_ending()

    def _drop(self, error: BaseException | None) -> None:
        """The shard that is open, after an error; the one before it is completed, unless somebody interrupts."""
        archive, self._open = self._open, None
        if archive is not None:
            archive.abort()
        if isinstance(error, Exception):
            try:
                self._finish_ending()
            except Exception as failure:  # noqa: BLE001 - the first error is the one that is raised
                error.add_note(f"before that, a shard could not be completed: {failure}")
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.written.cancel()
            ending.archive.abort()
            wait_until_done(ending.written)

    def _has_room(self, archive: RawArchive | _Counted, sample: RawSample) -> bool:
        most, largest = self._outputs.max_count, self._outputs.max_size
        return (most is None or archive.samples < most) and (largest is None or archive.size_with(sample.nbytes) <= largest)

    def _name(self) -> str:
        of = self._outputs.of
        if self._target is None:
            return ""
        number = self._shard if of is None or self._outputs.is_bounded else of.number
        split = None if self._split is None else name_at(self._split, self._shard)
        return self._target.name(number, part=self._outputs.part, split=split, name=None if of is None else of.name)

    def _begin(self) -> None:
        if self._shard and self._is_single:
            raise SpecError(SEVERAL, url=self._outputs.target)
        self._url, self._last_keys = self._name(), ()
        self._shard += 1
        if self._outputs.dry_run or self._record(self._url) is not None:
            self._open = _Counted()
            return
        if not (self._outputs.force or self._outputs.resume) and exists(self._url, self._outputs.access):
            raise SpecError("there is such a shard already; --force (force=True) replaces it", url=self._url)
        self._open = RawArchive(self._url, self._outputs.access, self._pool, hashed=self._hashed)

    def _record(self, url: str) -> dict[str, Any] | None:
        """Of a shard that a run before this one has written, and that is still there."""
        record = None if self._journal is None else self._journal.find(url)
        return record if record is not None and self._outputs.has(record) else None

    def _complete(self, url: str, written: Written, mark: Any, *, was_there: bool) -> None:
        record: dict[str, Any] = {"url": url, "samples": written.samples, "bytes": written.nbytes, "sha256": written.sha256}
        if was_there:
            known = self._record(url) or record
            self._report.shards.append({name: value for name, value in known.items() if name != MARK})
            return
        if self._outputs.post is not None:
            run_post(self._outputs.post, record)
        if self._journal is not None:
            self._journal.add(record if mark is None else {**record, MARK: mark})
        path = local_path(url)
        if self._outputs.delete_after and path is not None:
            with suppress(FileNotFoundError):
                Path(path).unlink()
        self._report.shards.append(record)
        if self._outputs.written is not None and not self._outputs.dry_run:
            self._outputs.written(record)

    def _with_other_key(self, sample: RawSample) -> RawSample:
        if self._outputs.same_key == "fail":
            message = (
                "two samples in a row have this key, and would come back as one; --same-key number (same_key='number') gives the "
                "second one another key, and --rekey all of them"
            )
            raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
        self._report.renumbered += 1
        self._same += 1
        return with_key(sample, f"{sample.key}-{self._same}")


class _Counted:
    """In the place of an archive that is not written: it is there already, or nothing is to be written."""

    def __init__(self) -> None:
        self.samples = self.position = 0

    def size_with(self, nbytes: int) -> int:
        return size_with_end(self.position + nbytes)

    def append(self, item: RawSample | RawRun) -> None:
        self.samples += number_of(item)
        self.position += item.nbytes

    def commit(self) -> Written:
        return Written(self.samples, size_with_end(self.position), None)

    def abort(self) -> None:
        """There is nothing to drop."""
