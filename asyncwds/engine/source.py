"""What to read, as data, and the engine that is opened for it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from asyncwds import checks
from asyncwds.engine.blocks import Block, ReadOptions, ShardListing, tolerated
from asyncwds.engine.interleave import announce
from asyncwds.engine.openers import open_fetcher
from asyncwds.engine.positions import Position
from asyncwds.engine.stream import BlockStream
from asyncwds.errors import (
    EmptyEpochError,
    SampleError,
    SpecError,
    WdsError,
    redact,
)
from asyncwds.formatting.texts import printable
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.handlers import Handler, ask, failure_text, reraise_exception
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache, Prefetch
from asyncwds.shards.manifests import ShardRecord
from asyncwds.shards.plan import Draw, Splitter, plan, single_node_only, split_by_worker
from asyncwds.shards.sample_split import SampleSplit, padding_in
from asyncwds.shards.shard import Shard
from asyncwds.storage.base import Fetcher

NO_SAMPLES = (
    "no samples found; perhaps there are fewer shards than workers, of all ranks together: take fewer workers, or write more and "
    "smaller shards (empty_check=False allows that)"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where samples come from and in which order: with (epoch, place) it determines every sample and its position.

    `handler` decides about errors: it raises, or returns True to go on behind what is missing, or False to end.
    `draw` takes the place of the list of urls: which of them, in which order. `local_paths` gives samples of local shards
    their `__local_path__`.
    `fetcher` makes the storage instead of the built-in one; it must be picklable where the dataset is pickled.
    `strict` makes errors of what is otherwise a ShardWarning.
    `empty_check` makes an error of no samples at all; None does so where that is because the handler was asked about everything.
    `verbose` writes a line to stderr for each shard that is begun.
    `cache` keeps what comes from either, unless it is local. `records` are what manifests know of shards, by url.
    `verify` compares shards with the checksums that manifests list, or that their stores keep.
    `listing` is called with what each shard has that was read to its end.
    `split` takes the place of both splitters and `draw`: each place has as many samples.
    `whole_members` gives members as they stand in the archives, see `ReadOptions`.
    """

    urls: Sequence[str]
    seed: int = 0
    shardshuffle: int = 0
    draw: Draw | None = None
    nodesplitter: Splitter | None = single_node_only
    workersplitter: Splitter | None = split_by_worker
    select_files: Callable[[str], bool] | None = None
    rename_files: Callable[[str], str] | None = None
    local_paths: bool = True
    verify: bool = True
    handler: Handler = reraise_exception
    strict: bool = False
    empty_check: bool | None = None
    verbose: bool = False
    prefetch: Prefetch = field(default_factory=Prefetch)
    access: Access = field(default_factory=Access)
    fetcher: Callable[[], Fetcher] | None = None
    cache: Cache | None = None
    records: Mapping[str, ShardRecord] = field(default_factory=dict)
    listing: Callable[[ShardListing], object] | None = None
    split: SampleSplit | None = None
    whole_members: bool = False

    def __post_init__(self) -> None:
        checks.whole_fields(self, 0, "shardshuffle")
        checks.function("handler", self.handler, takes=1)
        for name in ("nodesplitter", "workersplitter"):
            checks.function(name, getattr(self, name), optional=True)
        for name, takes in {"select_files": 1, "rename_files": 1, "fetcher": 0}.items():
            checks.function(name, getattr(self, name), optional=True, takes=takes)
        for name in ("verbose", "verify", "strict", "empty_check"):
            checks.flag(name, getattr(self, name))
        checks.instance("cache", self.cache, Cache, optional=True)

    def shards(self, epoch: int, place: WorkerInfo) -> Iterator[Shard]:
        if self.split is not None:
            return self.split.plan(self.urls, seed=self.seed, epoch=epoch, place=place, shardshuffle=self.shardshuffle)
        return plan(
            self.urls,
            seed=self.seed,
            epoch=epoch,
            place=place,
            nodesplitter=self.nodesplitter,
            workersplitter=self.workersplitter,
            shardshuffle=self.shardshuffle,
            draw=self.draw,
        )

    def open(self, epoch: int, place: WorkerInfo, counters: Counters) -> AbstractAsyncContextManager[BlockStream]:
        """The engine, running on the current loop until the context is left."""
        return self.read(self.shards(epoch, place), counters)

    def padding(self, epoch: int, place: WorkerInfo) -> Callable[[int, int], bool] | None:
        """Whether a sample, by its shard and ordinal, is there a second time; None where samples don't say so."""
        return padding_in(self.shards(epoch, place)) if self.marks_padding else None

    @property
    def marks_padding(self) -> bool:
        """Whether samples say if they are there a second time."""
        return self.split is not None and self.split.uneven == "pad"

    @asynccontextmanager
    async def read(
        self, shards: Iterator[Shard | None], counters: Counters, start: Position | None = None
    ) -> AsyncIterator[BlockStream]:
        """The same for other shards than the source's own; None among them says that the next one is not known yet.

        With `start` it goes on from there, and they are those that were not begun.
        """
        fetcher = self.make_fetcher(counters)
        shards = announce(shards, fetcher)
        shards = _announced(shards) if self.verbose else shards
        stream = BlockStream(shards, fetcher, self.prefetch, self.read_options(), counters, start)
        try:
            yield stream
        finally:
            await stream.aclose()

    def make_fetcher(self, counters: Counters) -> Fetcher:
        return open_fetcher(self.access, counters, self.cache, self.fetcher)

    def read_options(self) -> ReadOptions:
        return ReadOptions(
            self.prefetch.max_member_bytes,
            self.select_files,
            self.rename_files,
            self.local_paths,
            max_header_bytes=self.prefetch.max_header_bytes,
            verify=self.verify,
            listed=self._listed,
            strict=self.strict,
            listing=self.listing,
            whole_members=self.whole_members,
        )

    def count(self, url: str) -> int | None:
        """The samples of a shard; None where no manifest or index says it."""
        record = self.records.get(url)
        return None if record is None else record.samples

    def _listed(self, url: str) -> str | None:
        record = self.records.get(url)
        return None if record is None or record.sha256 is None else f"sha256:{record.sha256}"

    def handle_error(self, block: Block, counters: Counters) -> bool:
        """Asks the handler about a block's error. False ends the stream; the handler may raise.

        A SpecError is raised, whatever the handler: where a library is missing, or nothing opens such urls, all shards would
        be skipped one by one.
        """
        if block.error is None:
            return True
        if isinstance(block.error, SpecError):
            raise block.error
        if tolerated(block.error, strict=self.strict):
            return True
        of_sample = isinstance(block.error, SampleError) or not isinstance(block.error, WdsError)
        counters.samples_failed += of_sample
        counters.tally.fail_reading(block.error, whole_shard=not of_sample)
        if not counters.samples and counters.first_failure is None:
            counters.first_failure = failure_text(block.error)
        try:
            raise block.error  # noqa: TRY301 - handlers expect to be called while the error is being handled
        except Exception as error:  # noqa: BLE001 - as above
            return ask(self.handler, error)

    def check_not_empty(self, counters: Counters) -> None:
        if counters.samples or self.empty_check is False:
            return
        if counters.first_failure is not None:
            failed = counters.shards_failed + counters.samples_failed
            raise EmptyEpochError(
                f"nothing came out of the epoch: {counters.shards_failed} shards and {counters.samples_failed} samples were handed "
                f"to a handler, and there were no others; the first: {counters.first_failure}",
                failed=failed,
            )
        if self.empty_check:
            raise SpecError(NO_SAMPLES)


def _announced(shards: Iterator[Shard | None]) -> Iterator[Shard | None]:
    for shard in shards:
        if shard is not None:
            sys.stderr.write(f"asyncwds: reading {printable(redact(shard.url))}\n")
        yield shard
