"""What `split="samples"` makes of a dataset: its source shares out samples in place of shards."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from asyncwds import checks
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import plural
from asyncwds.shards.plan import splits_by_itself
from asyncwds.shards.sample_split import SampleSplit, Uneven

if TYPE_CHECKING:
    from asyncwds.index.index import Index, ShardIndex


SEED = 0
"""Of a dataset without one: the order of the shards must be the same for all ranks, and each would draw a seed of its own."""


def require_split(split: str, uneven: str | None, source: Source, *, listed: bool) -> None:
    """Raises SpecError for what cannot be, or goes by another rule."""
    checks.one_of("split", split, ("shards", "samples"))
    checks.one_of("uneven", uneven, (None, *get_args(Uneven)))
    if split == "shards":
        checks.require(uneven is None, "uneven is for split='samples': of shards some places get one more than others")
        return
    checks.require(
        not listed and source.draw is None,
        "split='samples' is for a list of shards that is read once in an epoch: not for resampled=True, a spec of data sets, or a "
        "folder in which shards come and go",
    )
    checks.require(
        splits_by_itself(source.nodesplitter) and splits_by_itself(source.workersplitter),
        "split='samples' shares out the samples among ranks and workers: nodesplitter and workersplitter are to be left out",
    )


def with_sample_split(source: Source, uneven: Uneven | None, index: Index | None) -> tuple[Source, Index | None]:
    """The source, and the index that it goes by: the one given, else what manifests say, else what is kept of each shard.

    Raises SpecError where the number of samples of a shard is not known, which says how it can be.
    """
    if index is None and not all(url in source.records for url in source.urls):
        index = _find_index(source)
    if index is None:
        counts, locate = [source.records[url].samples for url in source.urls], None
    else:
        from asyncwds.index.spans import Locator  # noqa: PLC0415 - numpy

        # Whether a key comes again can be told from the beginning only.
        counts, locate = [shard.samples for shard in index.shards], Locator(index, by_ranges=not source.strict)
    split = SampleSplit(array("q", counts), uneven or "error", locate)
    return replace(source, split=split, nodesplitter=None, workersplitter=None), index


def _find_index(source: Source) -> Index:
    """What a cache has, and what lies beside the shards."""
    if source.fetcher is not None:
        raise SpecError(f"with a fetcher of one's own split='samples' needs an index or a manifest: {_REMEDY}")
    from asyncwds.index.finding import find_kept  # noqa: PLC0415 - heavy
    from asyncwds.index.index import Index  # noqa: PLC0415 - as above

    found = find_kept(source.urls, source.access, source.cache)
    _require_all(found, source.urls)
    return Index(tuple([shard for shard in found if shard is not None]))


def _require_all(found: Sequence[ShardIndex | None], urls: Sequence[str]) -> None:
    missing = [url for shard, url in zip(found, urls, strict=True) if shard is None]
    if missing:
        shards = plural(len(urls), "shard")
        raise SpecError(
            f"split='samples' needs the number of samples of each shard, and of {len(missing)} of {shards} it is not known, as of "
            f"this one: {_REMEDY}",
            url=missing[0],
        )


_REMEDY = (
    "`asyncwds index URLS` makes an index beside each shard, which is found, or one of all, for index=...; the manifest of a "
    "ShardWriter, given in place of urls, has the numbers too; and an epoch that is read with keep_index=True leaves indexes"
)
