"""`WebDataset`: the samples of tar shards, as a pipeline that begins with them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from asyncwds import checks
from asyncwds.engine.source import Source
from asyncwds.pipeline.datapipeline import DataPipeline
from asyncwds.pipeline.dataset_index import load_given_index, make_access, open_reader, with_counts, with_kept_indexes
from asyncwds.pipeline.dataset_shards import (
    SPOOL_MODES,
    FoundShards,
    find_shards,
    find_spool_folder,
    look_up_some,
    make_shard_list,
    make_sharing_stages,
    make_spool_list,
    take_as_they_are,
)
from asyncwds.pipeline.dataset_split import SEED, require_split, with_sample_split
from asyncwds.pipeline.description import Description
from asyncwds.pipeline.fluid import FluidInterface
from asyncwds.pipeline.item_functions import NumberOfWorkers
from asyncwds.pipeline.lanes import Lanes
from asyncwds.pipeline.loaders import FluidWrapper
from asyncwds.pipeline.protocol import ItemT_co, StageFunction
from asyncwds.pipeline.skip_list import Skip
from asyncwds.pipeline.tar_samples import TarSamples
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.runtime.units import KiB
from asyncwds.samples import Sample
from asyncwds.settings.access import Http, Retry, Settings, Storage
from asyncwds.settings.reading import Cache, Ledger, Prefetch, as_prefetch, cache_arguments, cache_of
from asyncwds.shards.plan import Splitter, single_node_only, split_by_worker, splits_by_itself
from asyncwds.shards.sample_split import Uneven
from asyncwds.shards.urls import UrlList
from asyncwds.storage.base import Fetcher
from asyncwds.storage.listing import Listing
from asyncwds.storage.schemes import as_access

if TYPE_CHECKING:
    from asyncwds.index.access import RandomAccess
    from asyncwds.index.index import Index
    from asyncwds.index.reader import SampleReader
    from asyncwds.pipeline.protocol import SeededFunction
    from asyncwds.pipeline.stages.collation import Collation

U = TypeVar("U")

SHARDSHUFFLE = 100  # what WebDataset takes `shardshuffle=True` for

Urls = str | PathLike[str] | Mapping[str, Any] | Iterable[str | PathLike[str]]


class WebDataset(DataPipeline[ItemT_co], FluidInterface[ItemT_co]):
    """Samples of tar shards, as one object for `for`, `async for` and torch's DataLoader.

    urls            path or URL, with braces, '::', '@list.txt' and wildcards; a list of such; a YAML file or dict
                    that says how many shards of several data sets an epoch has, see `MultiShardSample`. A folder stands for
                    the shards in it, a manifest (`.json`) for those it lists; these give the dataset its `len()`
    handler         called with each error of a shard: raises it, or returns True to go on behind it, False to end
    mode            "resampled" is `resampled=True`; "resample", "unlink" and "keep" make of a folder one in which shards come
                    and go, and are renamed while they are read, see `DirectoryShardList`
    resampled       draws shards with replacement, without end, at each place others
    repeat          passes over the data without end, or so many times; as the method
    shardshuffle    shuffle the shards in a buffer of this many; True is 100, None and False are none
    cache_size      bound [bytes] of the cache: 0 is no cache, below 0 is no bound
    cache_dir       keep shards that are not local in this folder; without it $WDS_CACHE
    url_to_name     URL → name of the file in the cache
    detshuffle      WebDataset's: the order of shards depends on seed and epoch, as it always does here
    nodesplitter    which shards this rank reads; the default refuses to run on several ranks unasked
    workersplitter  which of those this DataLoader worker reads
    select_files    called with a member's name: False skips it unread
    rename_files    called before that: gives the name to use
    empty_check     no sample at all is an error
    verbose         a line on stderr for each shard when it is opened
    seed            of every random order; without it $WDS_SEED, or drawn once, here; 0 with split="samples"
    prefetch        how far to read ahead; `16` is short for `Prefetch(connections=16)`
    retry, http     how requests are made, and made again
    storage         settings of buckets: `S3(...)`, or URL prefixes with settings, `{"s3://mine/": S3(profile="mine")}`
    cache           settings of the cache, in place of the three above
    fetcher         makes the storage in place of the built-in one
    verify          compare shards with the checksums that a manifest lists or their stores keep, as the bytes come: one that
                    differs is a ChecksumError behind its samples
    strict          what stands behind the end of a shard, and a key that comes again in it, is an error and no ShardWarning
    index           `Index`, or path or URL of a file with one, or several such: for `len()`, and for samples by number and key
    keep_index      keep the index of each shard that is read to its end: in the cache, or beside local shards
    split           "samples" gives each rank and worker as many samples as all others, of which it must know how many each
                    shard has: by `index`, a manifest, or what `asyncwds index` or `keep_index` left. "shards" is the rule
    uneven          of samples that don't divide: "drop" some, "pad" with others that come again (`__padding__` says of
                    each sample whether it is one), or "error", which it is without this
    ledger          `Ledger(...)`: follow what becomes of each sample, see `report`; a path is short for `Ledger(path)`
    skip            samples to leave out: a list of keys, of pairs of a shard and a key, and of steps of a ledger, see `with_skip`

    The object describes: it holds no thread, loop or socket, can be pickled and printed, and methods that add stages return
    new ones. The order of samples is a function of (description, seed, epoch, place); every iteration is an epoch of its
    own, counted from 0 or from `set_epoch`.

    Raises SpecError (a ValueError) for arguments that make no sense, and when nothing matches a pattern.
    """

    def __init__(  # noqa: PLR0917 - WebDataset's
        self: WebDataset[Sample],
        urls: Urls,
        handler: Handler = reraise_exception,
        mode: str | None = None,
        resampled: bool = False,
        repeat: bool | int = False,
        shardshuffle: int | bool | None = None,
        cache_size: float = -1,
        cache_dir: str | PathLike[str] | None = None,
        url_to_name: Callable[[str], str] | None = None,
        detshuffle: bool = False,  # noqa: ARG002 - the rule here
        nodesplitter: Splitter | None = single_node_only,
        workersplitter: Splitter | None = split_by_worker,
        select_files: Callable[[str], bool] | None = None,
        rename_files: Callable[[str], str] | None = None,
        empty_check: bool = True,
        verbose: bool = False,
        seed: int | None = None,
        *,
        prefetch: int | Literal["auto"] | Prefetch | None = None,
        retry: Retry | None = None,
        http: Http | None = None,
        storage: Storage | Settings | None = None,
        cache: Cache | None = None,
        fetcher: Callable[[], Fetcher] | None = None,
        verify: bool = True,
        strict: bool = False,
        index: str | PathLike[str] | Index | Sequence[str | PathLike[str]] | None = None,
        keep_index: bool = False,
        split: Literal["shards", "samples"] = "shards",
        uneven: Uneven | None = None,
        ledger: str | PathLike[str] | Ledger | None = None,
        skip: Skip = None,
    ) -> None:
        args = _arguments(urls, mode, resampled, shardshuffle, cache_dir, cache_size)
        checks.instance("cache", cache, Cache, optional=True)
        checks.function("url_to_name", url_to_name, optional=True, takes=1)
        resampled = args.mode == "resampled"
        self.update_cache_info(args)
        self._describe(Description((), self._seed_of(seed, SEED if split == "samples" else None), passes=_passes(repeat)))
        access = as_access(http, retry, storage)
        lookup = take_as_they_are if fetcher is not None else partial(look_up_some, access=access)
        shards = self._find_shards(args, resampled, lookup)
        source = Source(
            urls=shards.listing.urls,
            records=shards.listing.records,
            seed=self.seed,
            shardshuffle=0 if resampled else SHARDSHUFFLE if shardshuffle is True else _shardshuffle(shardshuffle),
            draw=shards.draw,
            nodesplitter=None if resampled and splits_by_itself(nodesplitter) else nodesplitter,
            workersplitter=None if resampled and splits_by_itself(workersplitter) else workersplitter or None,
            select_files=select_files,
            rename_files=rename_files,
            handler=handler,
            strict=strict,
            empty_check=empty_check,
            verbose=verbose,
            prefetch=as_prefetch(prefetch),
            access=access,
            cache=cache or cache_of(args.cache_dir, args.cache_size, url_to_name),
            fetcher=fetcher,
            verify=verify,
        )
        source = self._with_index(source, index, keep_index, by_stage=shards.by_stage)
        if (split, uneven) != ("shards", None):
            require_split(split, uneven, source, listed=shards.by_stage)
        if split == "samples":
            source, self._index = with_sample_split(source, uneven, self._index)
        for stage in make_sharing_stages(source) if shards.shared_by_stages else ():
            self.append(stage)
        self.append(TarSamples(source) if shards.by_stage else source)
        if ledger is not None:
            self.with_ledger(ledger)
        if skip is not None:
            self.with_skip(skip)

    def _find_shards(self, args: SimpleNamespace, resampled: bool, lookup: Callable[[Any], Listing]) -> FoundShards:
        """Those of the dataset; a stage that gives them one by one is appended."""
        folder = find_spool_folder(args.urls, args.mode)
        if type(self).create_url_iterator is not WebDataset.create_url_iterator:
            self.create_url_iterator(args)
        elif folder is not None:
            self.append(make_spool_list(folder, args.mode))
        else:
            return find_shards(args.urls, resampled, lookup)
        # What is claimed of a folder is no other process's.
        return FoundShards(Listing(UrlList(), {}), by_stage=True, shared_by_stages=folder is None)

    def _with_index(self, source: Source, index: Any, keep_index: bool, *, by_stage: bool) -> Source:
        """The source with what an index says of its shards; with `keep_index` it leaves indexes."""
        checks.flag("keep_index", keep_index)
        if keep_index:
            source = with_kept_indexes(source)
        self._index = None
        if index is None:
            return source
        checks.require(not by_stage, "an index is for a list of shards, and not for a folder in which they come and go")
        self._index = load_given_index(index, source.urls, source.access)
        return with_counts(source, self._index)

    _index: Index | None
    _reader: tuple[Any, tuple[int, int], SampleReader] | None = None  # with what it is for

    def random_access(self, *, connections: int = 32, gap: int = 64 * KiB) -> RandomAccess:
        """The items by number or key: a map-style dataset for torch's DataLoader. Each goes through the stages by itself.

        connections   requests at a time
        gap           samples at most so many [bytes] apart in a shard come by one request

        Without `index` that of each shard is looked for in the cache and beside the shard, and else made of its headers. Raises
        SpecError where there can be none, and what reading the shards would.
        """
        checks.whole("random_access: connections", connections, 1)
        checks.whole("random_access: gap", gap, 0)
        head, *stages = self.pipeline
        if self._reader is None or self._reader[0] is not head or self._reader[1] != (connections, gap):
            self._reader = head, (connections, gap), open_reader(head, self._index, connections, gap)
        return make_access(self._reader[2], head, stages, self.seed)

    def sample(self, wanted: int | str) -> ItemT_co:
        """The item of one sample, by its number or its key; see `random_access`. Raises NoSuchSampleError."""
        return self.random_access()[wanted]  # type: ignore[no-any-return]

    @overload
    def __getitem__(self, wanted: int | str) -> ItemT_co: ...
    @overload
    def __getitem__(self, wanted: slice) -> list[ItemT_co]: ...
    def __getitem__(self, wanted: Any) -> Any:
        """As `sample`; a slice gives a list, for which samples are fetched together."""
        return self.random_access()[wanted]

    def lanes(self, number: int) -> FluidWrapper[ItemT_co]:
        """The epoch in so many streams, of which each rank and worker reads some, an item of each in turn.

        What stands before runs for each of the lanes by itself, and what stands behind for what a rank gives. So in steps with as
        many items of each lane, as batches of a size in proportion to the lanes of a rank are, all ranks together have the same
        samples in each step, for every number of ranks that divides the lanes, until the first lane ends. The buffer of
        `prefetch` is shared out among the lanes of a rank.

        Raises SpecError behind `repeat` and `with_epoch`; the iteration does so where ranks times workers do not divide the lanes.
        """
        return FluidWrapper(Lanes(self._description, number), seed=self.seed)

    def close(self) -> None:
        """As of all pipelines; files and connections for random access too."""
        super().close()
        if self._reader is not None:
            self._reader[2].close()

    if TYPE_CHECKING:
        # What the items become, which `FluidInterface` can't say of a class that it doesn't know; hence the ignores.

        @overload  # type: ignore[no-overload-impl]
        def compose(self, stage: StageFunction[ItemT_co, U], /) -> WebDataset[U]: ...
        @overload
        def compose(self, *args: Any) -> WebDataset[Any]: ...
        @overload  # type: ignore[no-overload-impl]
        def map(
            self, f: Callable[[ItemT_co], Awaitable[U | None]], handler: Handler = ..., *, workers: int | Literal["auto"]
        ) -> WebDataset[U]: ...
        @overload
        def map(
            self, f: SeededFunction[ItemT_co, Awaitable[U | None]], handler: Handler = ..., *, workers: int | Literal["auto"]
        ) -> WebDataset[U]: ...
        @overload
        def map(
            self, f: Callable[[ItemT_co], U | None], handler: Handler = ..., *, workers: NumberOfWorkers = ...
        ) -> WebDataset[U]: ...
        @overload
        def map(
            self, f: SeededFunction[ItemT_co, U | None], handler: Handler = ..., *, workers: NumberOfWorkers = ...
        ) -> WebDataset[U]: ...
        @overload  # type: ignore[no-overload-impl, override]
        def to_tuple(self, a: str | Sequence[str], b: str | Sequence[str], /, **options: Any) -> WebDataset[tuple[Any, Any]]: ...
        @overload
        def to_tuple(self, *args: str | Sequence[str], **options: Any) -> WebDataset[tuple[Any, ...]]: ...
        def extract_keys(self, *patterns_: str | Sequence[str], **options: Any) -> WebDataset[tuple[Any, ...]]: ...  # type: ignore[override]
        def map_tuple(  # type: ignore[override]
            self, *args: Callable[..., Any] | None, handler: Handler = ..., workers: NumberOfWorkers = ...
        ) -> WebDataset[tuple[Any, ...]]: ...
        @overload  # type: ignore[no-overload-impl, override]
        def batched(
            self, batchsize: int, collation_fn: None, partial: bool = ..., handler: Handler = ..., tensors: bool = ...
        ) -> WebDataset[list[ItemT_co]]: ...
        @overload
        def batched(
            self, batchsize: int, collation_fn: Collation = ..., partial: bool = ..., handler: Handler = ..., tensors: bool = ...
        ) -> WebDataset[Any]: ...
        def unbatched(self, handler: Handler = ...) -> WebDataset[Any]: ...
        def listed(self, batchsize: int, partial: bool = ...) -> WebDataset[list[ItemT_co]]: ...  # type: ignore[override]
        def unlisted(self: WebDataset[list[U]]) -> WebDataset[U]: ...

    # Steps of the constructor, for subclasses to override, as they can with WebDataset. `args` has `urls`, `mode`, `shardshuffle`,
    # `cache_dir` and `cache_size`.

    def update_cache_info(self, args: SimpleNamespace) -> None:
        """Sets `args.cache_dir` and `args.cache_size`: from the environment, where they are not given."""
        args.cache_dir, args.cache_size = cache_arguments(args.cache_dir, args.cache_size)

    def create_url_iterator(self, args: SimpleNamespace) -> None:
        """Appends what gives the shards. Where a subclass does that, splitters and the shuffle of shards come behind it."""
        self.append(make_shard_list(args.urls, args.mode))


def _arguments(  # noqa: PLR0917 - WebDataset's
    urls: Urls,
    mode: str | None,
    resampled: bool,
    shardshuffle: int | bool | None,
    cache_dir: str | PathLike[str] | None,
    cache_size: float,
) -> SimpleNamespace:
    """What the steps of the constructor get. Raises SpecError for what makes no sense."""
    checks.one_of("mode", mode, (None, "resampled", *SPOOL_MODES))
    checks.flag("resampled", resampled)
    checks.path("cache_dir", cache_dir or None, optional=True)
    checks.real("cache_size", cache_size)
    mode = "resampled" if resampled else mode
    return SimpleNamespace(urls=urls, mode=mode, cache_dir=cache_dir, cache_size=cache_size, shardshuffle=shardshuffle)


def _passes(repeat: bool | int) -> int | None:
    return None if repeat is True else checks.count("repeat", repeat or 1)


def _shardshuffle(size: float | None) -> int:
    return int(checks.real("shardshuffle, if it is not True or None,", size or 0, 0, sys.maxsize))
