"""What a dataset does with an index: it knows how many samples it has, and gives them by number and key, each through the stages
by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asyncwds import checks
from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.pipeline.adapt import adapt
from asyncwds.pipeline.clock import stage_name
from asyncwds.pipeline.context import RunContext, stream_over
from asyncwds.pipeline.protocol import Stream
from asyncwds.samples import PADDING, Sample
from asyncwds.settings.access import Access

if TYPE_CHECKING:
    from asyncwds.index.access import RandomAccess
    from asyncwds.index.index import Index
    from asyncwds.index.reader import SampleReader


# numpy, which the index needs, takes 80 ms to import: those who have no index do without.


def load_given_index(index: Any, urls: Sequence[str], access: Access) -> Index:
    """That of these shards. Raises SpecError for what is no index, and where it lacks one of them."""
    from asyncwds.index.files import load_by  # noqa: PLC0415 - heavy
    from asyncwds.index.index import Index  # noqa: PLC0415 - as above

    given = index
    if not isinstance(given, Index):
        if not isinstance(index, list | tuple):
            checks.path("index, if it is no Index and no list,", index)
        given = load_by(index, access)
    return given.for_urls(urls)


def with_counts(source: Source, index: Index) -> Source:
    """The source, which knows how many samples its shards have."""
    return replace(source, records={**index.records(), **source.records})


def with_kept_indexes(source: Source) -> Source:
    """The source, which leaves the indexes of shards that it reads. Raises SpecError where members are left out or renamed."""
    from asyncwds.index.finding import IndexKeeper, cache_folder  # noqa: PLC0415 - numpy

    whole = source.select_files is None and source.rename_files is None
    checks.require(whole, "keep_index is for shards that are read as they are, without select_files and rename_files")
    return replace(source, listing=IndexKeeper(None if source.cache is None else cache_folder(source.cache)))


def open_reader(source: Any, index: Index | None, connections: int, gap: int) -> SampleReader:
    """What reads the samples of a source by number; without an index that is looked for, and made if there is none.

    Raises SpecError for a pipeline that does not begin with a list of shards.
    """
    from asyncwds.index.finding import find_index  # noqa: PLC0415 - heavy
    from asyncwds.index.parsing import SampleParser  # noqa: PLC0415 - as above
    from asyncwds.index.reader import Places, SampleReader  # noqa: PLC0415 - as above

    if not isinstance(source, Source):
        raise SpecError(
            "random access needs a dataset that begins with a list of shards, and not with a folder or generator of them"
        )
    if index is None:
        if source.fetcher is not None:
            raise SpecError("with a fetcher of one's own random access needs an index: WebDataset(..., index=...)")
        index = find_index(source.urls, source.access, source.cache)
    places = Places(source.access, source.fetcher, source.cache, connections, gap)
    limits = source.prefetch.max_member_bytes, source.prefetch.max_header_bytes
    parser = SampleParser(*limits, source.select_files, source.rename_files, source.local_paths)
    return SampleReader(index.for_urls(source.urls), places, parser)


def make_access(reader: SampleReader, source: Source, stages: Sequence[Any], seed: int) -> RandomAccess:
    from asyncwds.index.access import RandomAccess  # noqa: PLC0415 - heavy

    return RandomAccess(reader, ItemByItem(tuple(stages), seed, source.marks_padding))


@dataclass(frozen=True)
class ItemByItem:
    """What the stages make of a sample: each is opened for it alone. `stages` stand behind the first of a pipeline.

    `marks_padding`: samples say whether they are padding, which they are not.
    """

    stages: Sequence[Any]
    seed: int
    marks_padding: bool = False

    def __call__(self, sample: Sample) -> Any:
        """Raises SpecError where they make no item of it, or several; and what they raise."""
        if self.marks_padding:
            sample[PADDING] = False
        if not self.stages:
            return sample
        context = RunContext(self.seed)
        stream: Stream = stream_over([sample], context.resources)
        for number, stage in enumerate(self.stages):
            stream = adapt(stage).open(stream, context.of_stage(stage_name(stage), self.seed + number, same_for_all=False))
        try:
            items = list(stream)
        finally:
            stream.close()
        if len(items) != 1:
            message = f"random access needs one item for each sample, and the stages make {len(items)} of this one"
            raise SpecError(message, url=sample["__url__"], key=sample["__key__"])
        return items[0]
