"""One shard under inspection: a reader in the engine's sense, around the one that datasets have. No I/O.

So what is found of archives and samples is what reading them raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from asyncwds.compression.kinds import KINDS
from asyncwds.engine.blocks import Block, ReadOptions
from asyncwds.engine.parts import ShardRun
from asyncwds.engine.reader import ShardReader
from asyncwds.engine.reader_layers import with_checksum
from asyncwds.errors import (
    ChecksumError,
    DuplicateFieldError,
    RepeatedKeyError,
    SpecError,
    TarHeaderError,
    TrailingBytesError,
    TruncatedTarError,
    WdsError,
)
from asyncwds.samples import Sample
from asyncwds.storage.base import Chunk
from asyncwds.tar import headers
from asyncwds.tar.grouping import base_plus_ext
from asyncwds.tar.members import Member, TakeRun
from asyncwds.tar.scanner import TableScanner, find_table_scanner
from asyncwds.tools.verify.decoding import DecodingCheck
from asyncwds.tools.verify.expected import Expected
from asyncwds.tools.verify.hub import SAMPLES, FirstSamples
from asyncwds.tools.verify.names import check_name, is_plain
from asyncwds.tools.verify.rules import Finding
from asyncwds.tools.verify.samples import Keys, SampleTable, find_repeated

MOST_ATTEMPTS = 4
MOST = 20  # findings of a rule in a shard that are kept; the others are counted
_TEMPLATE = 2  # names that each sample has before its fields: `__key__` and `__url__`
_ENTRIES = {headers.GNU_SPARSE: "W32", ord("5"): "W31"} | dict.fromkeys(b"12346", "W30") | dict.fromkeys(headers.EXTENSIONS, "W33")
_SAID = {"W30": "a link, device or pipe", "W31": "a folder", "W32": "a sparse member", "W33": "headers before a member's own"}
_SHORT = {"tgz": "gzip", "tbz": "bz2", "tbz2": "bz2", "txz": "xz", "tzst": "zstd", "tlz4": "lz4"}


@dataclass
class ShardReport:
    """What there is in a shard, and what is wrong with it.

    size      of the object [bytes], where its server says it
    findings  at most `MOST` of a rule; `counts` has how many there are
    schemas   set of fields → how many samples have it, and the key of the first
    first     the fields of the first samples, as the Hugging Face Hub sees them
    unread    it could not be fetched
    ignore    rules of which nothing is wanted
    """

    url: str
    samples: int = 0
    size: int | None = None
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    schemas: dict[tuple[str, ...], tuple[int, str]] = field(default_factory=dict)
    first: list[frozenset[str]] = field(default_factory=list)
    keys: Keys | None = None
    unread: bool = False
    ignore: Collection[str] = ()
    _kept: Counter[str] = field(default_factory=Counter, repr=False)

    def add(self, finding: Finding) -> None:
        if finding.rule in self.ignore:
            return
        self.counts[finding.rule] += finding.count
        if self._kept[finding.rule] < MOST:
            self._kept[finding.rule] += 1
            self.findings.append(finding)


class ShardInspector:
    """Reads a shard to its end, or as far as it goes. What comes out is the size of each chunk [bytes], for the progress, and in
    the end its `ShardReport`.
    """

    repeated_keys = 0
    seekable = False

    def __init__(
        self,
        run: ShardRun,
        options: ReadOptions,
        expected: Expected | None,
        decoding: DecodingCheck | None,
        ignore: Collection[str],
    ) -> None:
        self._run = run
        self._url = run.shard.url
        self._expected = expected
        self._decoding = decoding
        # Payloads are not copied where nobody looks at them: half of the time with samples of 110 KB.
        hooks = replace(options, members=self._see_members, note=self._see_entry, headers_only=decoding is None)
        self._options = options
        self._shard = ShardReader(
            run.shard, run.total, None, hooks, take_run=self._runs(find_table_scanner()) if decoding is None else None
        )
        self._attempts = 0  # to take a run that took nothing, one after another
        self._reader = with_checksum(run, self._shard, None if expected is None else expected.checksum)
        self._table = SampleTable()
        self._report = ShardReport(self._url, ignore=ignore)
        self._head = b""
        self._first = FirstSamples()

    @property
    def failed(self) -> bool:
        return self._reader.failed

    @property
    def held(self) -> int:
        return self._shard.held

    def feed(self, chunk: Chunk) -> Iterable[Block]:
        if len(self._head) < headers.BLOCK:
            self._head += bytes(chunk[: headers.BLOCK])
        for block in self._reader.feed(chunk):
            self._take(block)
        return (self._end() if self._reader.failed else Block([len(chunk)], 0),)

    def detach(self) -> None:
        self._shard.detach()

    def finish(self) -> Iterator[Block]:
        for block in self._reader.finish():
            self._take(block)
        yield self._end()

    def abort(self, error: WdsError) -> Block:
        self._take(self._reader.abort(error))
        return self._end()

    def _runs(self, scan: TableScanner | None) -> TakeRun | None:
        """Samples with which nothing can be wrong go straight to the table: 0.3 µs each, and 13 by way of the grouper.

        What comes before them in the chunk is taken first. It goes on behind what is odd, unless that is all there is.
        """
        if scan is None:
            return None

        def take_run(chunk: bytes | memoryview, pos: int, fit: int, base: int, members: list[Member]) -> tuple[int, bool]:
            for block in self._shard.group(members) if members else ():
                self._take(block)
            members.clear()
            pending, limits = self._shard.pending_key, self._options
            stop, is_odd, *columns = scan(
                chunk, pos, fit, base, limits.max_member_bytes, limits.max_header_bytes, self._shard.tar().pax_form,
                None if pending is None else pending.encode("utf-8", "surrogateescape"), self._table.numbers, self._table.schemas,
            )  # fmt: skip
            if stop > pos:
                self._take(Block(self._shard.complete(), 0))
                self._see_first(columns[0], columns[3])
                self._table.add_columns(*columns)
            self._attempts = 0 if stop > pos else self._attempts + 1
            return stop, is_odd and self._attempts < MOST_ATTEMPTS

        return take_run

    def _see_first(self, keys: bytes, schema: bytes) -> None:
        if self._first.complete:
            return
        for key, number in zip(keys.decode().split("\0")[: SAMPLES + 1], memoryview(schema).cast("q"), strict=False):
            for field_name in self._table.schemas[number]:
                self._first.add(f"{key}.{field_name}")

    def _take(self, block: Block) -> None:
        samples = block.samples
        keys = [sample["__key__"] for sample in samples]
        schemas = [tuple(sample)[_TEMPLATE:] for sample in samples]
        self._table.add(keys, schemas, [sample._origin[2] for sample in samples])  # noqa: SLF001 - an Origin would be made for each
        for sample in samples:
            if not all(sample.values()):
                self._see_empty(sample)
        if self._decoding is not None:
            self._decoding.add(samples, self._report.add)
        if block.error is not None and not isinstance(block.error, RepeatedKeyError):  # of these the table knows more
            self._report.add(self._finding_of(block.error))

    def _finding_of(self, error: Exception) -> Finding:
        if isinstance(error, SpecError):  # no shard is wrong, but what was asked for
            raise error
        rule = self._rule_of(error)
        self._report.unread |= rule == "W09"
        if not isinstance(error, WdsError):
            return Finding(rule, f"{type(error).__name__}: {error}", self._url)
        return Finding(rule, error.message, self._url, error.key, error.offset)

    def _rule_of(self, error: Exception) -> str:
        match error:
            case TrailingBytesError():
                return "W05"
            case TruncatedTarError():
                return "W01" if error.cut else "W02"
            case TarHeaderError():
                foreign = not error.offset and not self._table and not headers.is_posix(self._head) and not self._shard.compressed
                return "W04" if foreign else "W03"
            case ChecksumError():
                return "W07"
            case DuplicateFieldError():
                return "W13"
            case _:
                return "W09"

    def _see_members(self, members: list[Member]) -> None:
        for name, offset in [(name, offset) for name, _, offset in members if not is_plain(name)]:
            key = base_plus_ext(name)[0]
            for rule, message in check_name(name):
                self._report.add(Finding(rule, message, self._url, key, offset))
        for name, _, _ in members if not self._first.complete else ():
            self._first.add(name)

    def _see_entry(self, kind: int, name: str, offset: int) -> None:
        rule = _ENTRIES.get(kind, "W34")
        what = _SAID.get(rule, f"an entry of type {chr(kind)!r}")
        self._report.add(Finding(rule, f"{what}{name and f': {name[:200]!r}'}", self._url, offset=offset))

    def _see_empty(self, sample: Sample) -> None:
        for name, value in sample.items():
            if not value:
                self._report.add(
                    Finding("W17", f"the field {name[:100]!r} has no bytes", self._url, sample["__key__"], sample.origin.offset)
                )

    def _end(self) -> Block:
        report, samples = self._report, self._table.finish()
        report.samples, report.keys = len(samples.offsets), samples.keys
        report.size, report.first = self._run.total, self._first.fields
        groups = samples.repeated()
        for finding in find_repeated(samples, groups, self._url):
            report.add(finding)
        texts = samples.keys.texts()
        counts = samples.schema_counts([number for group in groups for number in group])
        report.schemas = {schema: (count, texts[first]) for schema, (count, first) in counts.items()}
        if self._decoding is not None:
            self._decoding.finish(report.add)
        if not report.unread:
            self._check_whole(texts)
            if self._expected is not None:
                for message in self._expected.compare(self._run, samples, texts, failed=self.failed):
                    report.add(Finding("W08", message, self._url))
        return Block([report], 0)

    def _check_whole(self, keys: list[str]) -> None:
        if not keys and not self.failed:
            self._report.add(Finding("W18", "the shard has no samples", self._url))
        if (named := compression_of(self._url)) is not None and self._head and (kind := self._shard.compression or "") != named:
            found = f"compressed with {kind}" if kind else "not compressed"
            self._report.add(Finding("W06", f"by its name it is {named or 'not compressed'}, and it is {found}", self._url))


def compression_of(url: str) -> str | None:
    """What the name of a shard says: one of `KINDS`, "" for none, None where it says nothing."""
    name = url.partition("?")[0].rpartition("/")[2].lower()
    if name.startswith("pipe:") or "." not in name:
        return None
    ending = name.rpartition(".")[2]
    if ending == "tar":
        return ""
    suffixes = {kind.suffix: name for name, kind in KINDS.items()} | _SHORT
    return suffixes.get(ending)
