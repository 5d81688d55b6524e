"""Shards in, samples out as they stand in the archives: what every tool begins with.

`Inputs` says which shards, and how they are read; `read_raw` gives their samples as `RawSample`s in order, by the engine that
datasets have: many requests in flight, retries, checksums, decompression by magic. Members of no sample are counted in the report.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from asyncwds import checks
from asyncwds.engine.blocks import Block, tolerated
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import printable
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache, Prefetch
from asyncwds.shards.shard import Shard
from asyncwds.shards.urls import local_path, scheme_of
from asyncwds.storage.listing import Listing, look_up
from asyncwds.tar.raw import RawSample, Stray
from asyncwds.tar.raw_runs import RawRun, number_of
from asyncwds.tar.scanner import SpanScanner, find_span_scanner
from asyncwds.tools.local import open_local, read_local
from asyncwds.tools.report import Report

if TYPE_CHECKING:
    from asyncwds.shards.manifests import ShardRecord

BESIDE_UPLOADS = 48 * MiB
"""[bytes] that are read ahead at most. With 256 MiB, 110 MB from bucket to bucket over a link of 8 MB/s took 1.2 times as long.
24 MiB would save a little more there, and take a tenth more CPU time where the link is fast: parts are smaller.
"""
OnError = Literal["fail", "skip", "stop"]
Item = TypeVar("Item", bound=RawSample | RawRun)


Found = TypeVar("Found")


class Watch(Protocol):
    def __call__(self, items: Iterator[Item], /) -> Iterator[Item]: ...


class WatchShards(Protocol):
    def __call__(self, shards: Iterator[tuple[str, int, Found]], /) -> Iterator[tuple[str, int, Found]]: ...


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Which shards are read, and how.

    urls        as for `WebDataset`: braces, wildcards, folders, `@list.txt`, manifests, `-`, any scheme
    access      credentials and settings of web servers and buckets
    cache       keeps what is read
    mix         so many shards are read in rotation, a sample of each in turn
    part        (i, n): every n-th shard, from the i-th on, as one of n jobs reads them; i counts from 0
    on_error    "fail" raises; "skip" goes on behind what is damaged, "stop" ends there, both with the error in the report
    max_errors  "skip" raises the next error after so many
    memory      bound [bytes] of what is read ahead
    io          requests in flight; None adapts to the link
    listed      the shards that urls stand for, where they have been looked up
    watch       called with the samples as they come, for a progress bar: gives them on
    watch_shards  the same, where shards are worked on in several processes: with the url of each, its number among
                  those that are worked on, and what came of it
    """

    urls: Sequence[str]
    access: Access = field(default_factory=Access)
    cache: Cache | None = None
    mix: int = 1
    part: tuple[int, int] | None = None
    on_error: OnError = "fail"
    max_errors: int | None = None
    memory: int = Prefetch().buffer_bytes
    io: int | None = None
    listed: Listing | None = None
    watch: Watch | None = None
    watch_shards: WatchShards | None = None

    def __post_init__(self) -> None:
        checks.require(list(self.urls).count("-") < 2, "standard input can be read once only, and is given twice")
        checks.whole("mix", self.mix, 1)
        checks.one_of("on_error", self.on_error, ("fail", "skip", "stop"))
        checks.whole("memory", self.memory, 1)

    def shards(self) -> list[str]:
        """The urls of the shards of this part, in order. Looks into buckets and manifests where patterns ask for that."""
        return self.listing()[0]

    def listing(self) -> tuple[list[str], dict[str, ShardRecord]]:
        """The same, with what manifests know of them."""
        found = self.listed or look_up(list(self.urls), self.access)
        urls = list(found.urls)
        if self.part is not None:
            urls = urls[self.part[0] :: self.part[1]]
        return urls, found.records

    def copied_to(self, target: str | None) -> Inputs:
        """The same, with less read ahead where it goes to a server: what many connections fetch at once comes late, and all
        together, and uploads, which need it in order, would wait for it.
        """
        if target is None or local_path(target) is not None or scheme_of(target) in ("-", "pipe") or self.mix > 1:
            return self
        return replace(self, memory=min(self.memory, BESIDE_UPLOADS))

    def prefetch(self) -> Prefetch:
        connections: int | Literal["auto"] = "auto" if self.io is None else max(self.io, self.mix)
        return Prefetch(connections=connections, buffer_bytes=self.memory, interleave=self.mix, interleave_samples=1)


def part_of(text: str) -> tuple[int, int]:
    """`"3/64"` → (3, 64). Raises SpecError for what is no part."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if index >= count:
        raise SpecError(f"a part is i/n, with i from 0 to n - 1, and not {text[:40]!r}")
    return index, count


def read_raw(inputs: Inputs, report: Report) -> Generator[RawSample, None, None]:
    """The samples in order, each counted in the report. To be closed.

    Raises FetchError, TarError and SampleError as `inputs.on_error` says.
    """
    items: Generator[Any, None, None] = _read(inputs, report, None)
    return items


def read_runs(inputs: Inputs, report: Report) -> Generator[RawSample | RawRun, None, None]:
    """The same, with runs of samples of local shards, for what copies samples as they are."""
    return _read(inputs, report, find_span_scanner())


def _read(inputs: Inputs, report: Report, scan: SpanScanner | None) -> Generator[RawSample | RawRun, None, None]:
    shards, records = inputs.listing()
    if not shards:
        return
    with closing(_blocks(inputs, shards, records, scan)) as blocks:
        samples = _samples(blocks, ErrorPolicy(inputs, report), report)
        yield from samples if inputs.watch is None else inputs.watch(samples)


def _samples(blocks: Iterable[Block], policy: ErrorPolicy, report: Report) -> Iterator[RawSample | RawRun]:
    for samples, _, error, _ in blocks:
        yield from _counted(samples, report)
        if error is None:
            continue
        try:
            if not policy.handle(error):
                return
        finally:
            del error  # whose traceback leads here: in a circle they would keep files open


def _blocks(
    inputs: Inputs, urls: Sequence[str], records: Mapping[str, ShardRecord], scan: SpanScanner | None
) -> Generator[Block, None, None]:
    """Of each shard in order: by the engine, but for local ones that need nothing of it."""
    waiting: list[Shard] = []  # for the engine
    for number, url in enumerate(urls):
        shard = Shard(url, number)
        record = records.get(url)
        is_compared = record is not None and record.sha256 is not None
        file = None if inputs.mix > 1 or inputs.cache is not None or is_compared else open_local(url)
        if file is None:
            waiting.append(shard)
            continue
        yield from _by_engine(inputs, waiting, records)
        waiting = []
        yield from read_local(file, shard, inputs.prefetch(), scan)
    yield from _by_engine(inputs, waiting, records)


def _by_engine(inputs: Inputs, shards: Sequence[Shard], records: Mapping[str, ShardRecord]) -> Generator[Block, None, None]:
    if not shards:
        return
    from asyncwds.tools.engine_reading import open_blocks  # noqa: PLC0415 - heavy, and local shards do without

    with closing(open_blocks(shards, inputs.prefetch(), inputs.access, inputs.cache, records)) as blocks:
        yield from blocks


def _counted(items: Iterable[RawSample | RawRun | Stray], report: Report) -> Iterator[RawSample | RawRun]:
    for item in items:
        if isinstance(item, Stray):
            report.left_out[item.reason] += item.number
        else:
            report.samples_in += number_of(item)
            yield item


def watch_shards(inputs: Inputs, urls: Sequence[str], results: Iterator[tuple[int, Found]]) -> Iterator[tuple[int, Found]]:
    """The results of shards that were worked on in several processes, each with the number of its url, while they are shown."""
    if inputs.watch_shards is None:
        yield from results
        return
    for _, number, found in inputs.watch_shards((urls[number], number, found) for number, found in results):
        yield number, found


class ErrorPolicy:
    """Decides about errors of shards and samples, as `Inputs.on_error` says."""

    def __init__(self, inputs: Inputs, report: Report) -> None:
        self._inputs = inputs
        self._report = report

    def handle(self, error: Exception) -> bool:
        """Enters it in the report, and returns whether to go on; or raises it."""
        if tolerated(error, strict=False):
            return True
        most, found = self._inputs.max_errors, len(self._report.damaged)
        if self._inputs.on_error == "fail" or isinstance(error, SpecError) or (most is not None and found >= most):
            try:
                raise error
            finally:
                del error  # as above
        self._report.damaged.append(printable(str(error)))
        return self._inputs.on_error == "skip"
