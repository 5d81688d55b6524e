"""The sample that the bytes of its place are, compared with what the index says. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asyncwds.errors import NoSuchSampleError, StaleIndexError, TarError
from asyncwds.index.index import ShardIndex
from asyncwds.samples import Sample
from asyncwds.settings.reading import MAX_HEADER_BYTES
from asyncwds.tar.grouping import Grouper
from asyncwds.tar.headers import BLOCK, PLAIN, PREFIX, SIZE, TYPEFLAG
from asyncwds.tar.parser import TarParser

LONGEST = 100  # name in a header, with the zero behind it


@dataclass(frozen=True)
class SampleParser:
    """How members become samples: as for `engine.blocks.ReadOptions`."""

    max_member_bytes: int
    max_header_bytes: int = MAX_HEADER_BYTES
    select: Callable[[str], bool] | None = None
    rename: Callable[[str], str] | None = None
    local_paths: bool = True

    def parse(self, data: bytes, shard: ShardIndex, number: int, row: int, local_path: str | None) -> Sample:
        """The sample of that row, which `data` is all of; `number` is the shard's, for its origin.

        Raises StaleIndexError where another sample stands there, or none; the first error of its members otherwise.
        """
        columns = shard.columns
        offset, _ = columns.span(row)
        path = local_path if self.local_paths else None
        if self.select is None and self.rename is None:
            plain = take_plain(data, shard, row, path)
            if plain is not None:
                plain._origin = (number, int(columns.ordinals[row]), offset)  # noqa: SLF001 - as the grouper does
                return plain
        parser = TarParser(
            shard.url,
            select=self.select,
            rename=self.rename,
            max_member_bytes=self.max_member_bytes,
            max_header_bytes=self.max_header_bytes,
            offset=offset,
        )
        grouper = Grouper(shard.url, number, local_path=path)
        samples = grouper.feed(parser.feed(data))
        for _, fault in grouper.faults:
            raise fault
        samples += grouper.finish()
        key = columns.key(row)
        if parser.error is not None or parser.open_member is not None:
            raise stale(shard, offset, _of(key), _describe(parser.error))
        sample = self._chosen(samples, key, shard, offset)
        sample._origin = (number, int(columns.ordinals[row]), sample.origin.offset)  # noqa: SLF001 - as the grouper does
        return sample

    def _chosen(self, samples: list[Sample], key: str, shard: ShardIndex, offset: int) -> Sample:
        if not samples and self.select is not None:
            raise NoSuchSampleError("select_files leaves nothing of this sample", url=shard.url, key=key or None)
        renamed = self.rename is not None or not key
        fitting = [sample for sample in samples if renamed or sample["__key__"] == key]
        if not fitting:
            raise stale(shard, offset, _of(key), ", ".join(_of(sample["__key__"]) for sample in samples) or "no sample")
        return fitting[0]


def take_plain(data: bytes, shard: ShardIndex, row: int, local_path: str | None) -> Sample | None:
    """The sample, if headers of the common form stand where the index says, with its names and sizes; None where they don't.

    So the index is compared with the shard for a quarter of the time that the parser takes: 5 in place of 50 µs.
    """
    columns = shard.columns
    key = columns.key(row)
    sample = Sample({"__key__": key, "__url__": shard.url})
    if local_path is not None:
        sample["__local_path__"] = local_path
    offset = int(columns.offsets[row])
    for suffix, payload, size in columns.fields(row):
        begin = payload - offset
        name = f"{key}.{suffix}".encode("utf-8", "surrogateescape") + b"\0"
        header = begin - BLOCK
        sound = (
            data[header : header + len(name)] == name
            and data[header + SIZE.start : header + SIZE.start + 11] == b"%011o" % size
            and data[header + TYPEFLAG] == PLAIN
            and not data[header + PREFIX]
        )
        if not sound or suffix in sample or suffix != suffix.lower() or len(name) > LONGEST or len(data) < begin + size:
            return None
        sample[suffix] = data[begin : begin + size]
    return sample if key and key[0] != "_" else None


def stale(shard: ShardIndex, offset: int | None, indexed: str, found: str) -> StaleIndexError:
    """The error that names both: what the index says and what was found."""
    error = StaleIndexError(
        f"the index does not fit this shard any more: it has {indexed}, and found was {found}; `asyncwds index` makes it anew",
        url=shard.url,
        offset=offset,
    )
    error.indexed, error.found = indexed, found
    return error


def _of(key: str) -> str:
    return f"sample {key[:200]!r}" if key else "a sample"


def _describe(error: TarError | None) -> str:
    return "a member that reaches beyond it" if error is None else f"no sample ({error.message})"
