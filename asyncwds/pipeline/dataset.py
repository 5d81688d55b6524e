"""`WebDataset`: the description that users compose, and the iterators it gives."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from os import PathLike
from typing import Any, Literal, Self

from asyncwds.engine.source import Handler, Source, as_prefetch
from asyncwds.errors import SpecError
from asyncwds.model import Http, Place, Prefetch, Retry
from asyncwds.pipeline import batching, stages
from asyncwds.pipeline.handlers import reraise_exception
from asyncwds.pipeline.parallel import ThreadedIterator
from asyncwds.pipeline.place import place_from_environment
from asyncwds.pipeline.run import Description, Iteration, Run, Stage
from asyncwds.pipeline.shuffle import Shuffle
from asyncwds.plan import Splitter, single_node_only, split_by_worker
from asyncwds.stats import Counters, Stats
from asyncwds.storage.base import Fetcher
from asyncwds.storage.clouds import Settings, Storage, as_storage
from asyncwds.storage.listing import expand_and_list
from asyncwds.urls import expand

SHARDSHUFFLE = 100  # what WebDataset takes `shardshuffle=True` for


class WebDataset:
    """Samples of tar shards, as one object for `for`, `async for` and torch's DataLoader.

    urls            path or URL, with braces, '::', '@list.txt' and globs on local paths; or a list of such
    handler         called with each error of a shard: raises it, or returns True to go on behind it, False to end
    shardshuffle    shuffle the shards in a buffer of this many; True is 100, None and False are none
    nodesplitter    which shards this rank reads; the default refuses to run on several ranks unasked
    workersplitter  which of those this DataLoader worker reads
    select_files    called with a member's name: False skips it unread
    rename_files    called before that: gives the name to use
    empty_check     no sample at all is an error
    seed            of every random order; without it $WDS_SEED, or drawn once, here
    prefetch        how far to read ahead; `16` is short for `Prefetch(connections=16)`
    storage         settings of buckets: `S3(...)`, or URL prefixes with settings, `{"s3://mine/": S3(profile="mine")}`

    The object describes: it holds no thread, loop or socket, can be pickled and printed, and its methods return new
    ones. The order of samples is a function of (description, seed, epoch, place); every iteration is an epoch of its
    own, counted from 0 or from `set_epoch`.

    Raises SpecError (a ValueError) for arguments that make no sense, and when nothing matches a pattern.
    """

    def __init__(
        self,
        urls: str | PathLike[str] | Iterable[str | PathLike[str]],
        handler: Handler = reraise_exception,
        *,
        shardshuffle: int | bool | None = None,
        nodesplitter: Splitter | None = single_node_only,
        workersplitter: Splitter | None = split_by_worker,
        select_files: Callable[[str], bool] | None = None,
        rename_files: Callable[[str], str] | None = None,
        empty_check: bool = True,
        seed: int | None = None,
        prefetch: int | Literal["auto"] | Prefetch | None = None,
        retry: Retry | None = None,
        http: Http | None = None,
        storage: Storage | Settings | None = None,
        fetcher: Callable[[], Fetcher] | None = None,
    ) -> None:
        http, retry, storage = http or Http(), retry or Retry(), as_storage(storage)
        source = Source(
            urls=tuple(expand(urls) if fetcher is not None else expand_and_list(urls, http, retry, storage)),
            seed=_seed(seed),
            shardshuffle=SHARDSHUFFLE if shardshuffle is True else int(shardshuffle or 0),
            nodesplitter=nodesplitter,
            workersplitter=workersplitter or None,
            select_files=select_files,
            rename_files=rename_files,
            handler=handler,
            empty_check=empty_check,
            prefetch=as_prefetch(prefetch),
            retry=retry,
            http=http,
            storage=storage,
            fetcher=fetcher,
        )
        self._description = Description(source)
        self._epoch = 0
        self._counters: Counters | None = None

    # -- iterating ------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iteration:
        return Iteration(self._start())

    def __aiter__(self) -> ThreadedIterator[Any]:
        run = self._start()
        return ThreadedIterator(Iteration(run), run.interrupt)

    def _start(self) -> Run:
        epoch, self._epoch = self._epoch, self._epoch + 1
        self._counters = Counters()
        return Run(self._description, epoch, self._place(), self._counters)

    def _place(self) -> Place:
        return place_from_environment()

    def set_epoch(self, epoch: int) -> None:
        """The number of the next iteration, which every random order depends on. To be called alike on every rank."""
        self._epoch = epoch

    def stats(self) -> Stats:
        """Counts of the latest iteration in this process, also while it runs. In a DataLoader the workers count, not this."""
        return self._counters.snapshot() if self._counters is not None else Stats()

    # -- composing ------------------------------------------------------------------------------------------------

    def compose(self, *added: Stage) -> Self:
        """Adds stages: any callables from an iterator to an iterator, a generator function for one."""
        for stage in added:
            if not callable(stage):
                raise SpecError(f"a stage must be callable with an iterator, not {stage!r}")
        return self._with(stages=(*self._description.stages, *added))

    def shuffle(self, size: int, *, initial: int = 100, rng: random.Random | None = None, seed: int | None = None) -> Self:
        """Shuffles in a buffer of `size` samples, giving out from the time `initial` are in. Size 0 is none."""
        return self if size < 1 else self.compose(Shuffle(size, initial=initial, rng=rng, seed=seed))

    def decode(self, *args: Any, **options: Any) -> Self:
        """Decodes fields by extension; "rgb8", "torchrgb", "pil" and the like say what images become."""
        return self.compose(stages.decode(*args, **options))

    def map(self, function: Callable[[Any], Any], handler: Handler = reraise_exception) -> Self:
        """Applies a function to each sample; one for which it returns None is dropped."""
        return self.compose(stages.map(function, handler))

    def select(self, predicate: Callable[[Any], Any], handler: Handler = reraise_exception) -> Self:
        """Keeps the samples for which the predicate is true."""
        return self.compose(stages.select(predicate, handler))

    def rename(self, *, handler: Handler = reraise_exception, keep: bool = True, **names: str) -> Self:
        """`rename(image="jpg;png")`: the first of the fields that is there gets the new name."""
        return self.compose(stages.rename(handler=handler, keep=keep, **names))

    def to_tuple(self, *fields: str, **options: Any) -> Self:
        """`to_tuple("jpg;png", "json")`: tuples of fields, each the first of its alternatives that is there."""
        return self.compose(stages.to_tuple(*fields, **options))

    def map_tuple(self, *functions: Callable[[Any], Any] | None, handler: Handler = reraise_exception) -> Self:
        """Applies one function to each element; None leaves it."""
        return self.compose(stages.map_tuple(*functions, handler=handler))

    def batched(
        self,
        batchsize: int,
        collation_fn: batching.Collation | None = batching.default_collation_fn,
        partial: bool = True,
    ) -> Self:
        """Batches, by default as tuples (or dicts) of columns; `partial=False` drops a last one that is not full."""
        return self.compose(batching.batched(batchsize, collation_fn=collation_fn, partial=partial))

    def slice(self, *args: int | None) -> Self:
        """As `itertools.islice`: `slice(n)`, `slice(start, stop)`, `slice(start, stop, step)`."""
        return self.compose(stages.slice(*args))

    def repeat(self, nepochs: int | None = None, nbatches: int | None = None) -> Self:
        """Passes over the data `nepochs` times, without end if None or negative; at most `nbatches` items in all."""
        passes = None if nepochs is None or nepochs < 0 else nepochs
        return self._with(passes=passes, items=None if nbatches is None or nbatches < 0 else nbatches)

    def with_epoch(self, nsamples: int) -> Self:
        """One iteration is exactly `nsamples` items of the last stage, passing over the data as often as that takes."""
        return self._with(passes=None, items=nsamples if nsamples > 0 else None)

    def _with(self, **changes: Any) -> Self:
        other = copy(self)
        other.__dict__.update(_description=replace(self._description, **changes), _counters=None)
        return other

    def __repr__(self) -> str:
        source = self._description.source
        urls = source.urls[0] if len(source.urls) == 1 else f"{source.urls[0]} … ({len(source.urls)} shards)"
        lines = [f"WebDataset({urls!r}, seed={source.seed}, prefetch={source.prefetch})"]
        lines += [f"    .compose({stage!r})" for stage in self._description.stages]
        if self._description.passes != 1 or self._description.items is not None:
            lines.append(f"    # passes: {self._description.passes}, items: {self._description.items}")
        return "\n".join(lines)


def _seed(seed: int | None) -> int:
    if seed is not None:
        return seed
    text = os.environ.get("WDS_SEED")
    if not text:
        return random.randrange(1_000_000)  # noqa: S311 - an order, not a secret; follows random.seed() as WebDataset does
    try:
        return int(text)
    except ValueError:
        raise SpecError(f"the environment variable WDS_SEED must be a whole number, not {text!r}") from None
