"""Tables of keys and the shards that they go to."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from io import TextIOWrapper
from typing import Any

from asyncwds.errors import SampleError, SpecError
from asyncwds.shards.urls import local_path
from asyncwds.tar.grouping import base_plus_ext
from asyncwds.tar.raw import RawSample
from asyncwds.tools.creating.sources import ROWS, guess_kind
from asyncwds.tools.opening import open_url
from asyncwds.tools.report import Report

COLUMNS = ("key", "shard")
UNUSED = "keys of the map without a sample"
NOT_IN_MAP = "not in the map"
_DELIMITERS = {"csv": ",", "tsv": "\t"}


def load_map(path: str) -> dict[str, str]:
    """Shards by key: of the columns `key` and `shard` of a CSV, TSV, JSON lines, Parquet or Arrow file, or an external key map of
    AIStore: lines of text with a tab or space between, or a JSON object of lists of keys by shard. A key may be the name of a file.

    A CSV or TSV file of two columns needs no header. Raises SpecError for a file that has no such columns, or two shards for a key,
    SampleError for a line that cannot be read.
    """
    found: dict[str, str] = {}
    for name, shard in _pairs(path):
        key = base_plus_ext(name)[0] or name
        if found.setdefault(key, shard) != shard:
            raise SpecError(f"the map has two shards for the key {key!r}: {found[key]!r} and {shard!r}", url=path)
    return found


def _pairs(path: str) -> Iterator[tuple[str, str]]:
    name = path if local_path(path) is not None else path.partition("?")[0]
    if name.endswith(".json"):
        return _of_lists(path)
    if name.endswith(".txt"):
        return _of_lines(path)
    kind = guess_kind(path)
    return _separated(path, _DELIMITERS[kind]) if kind in _DELIMITERS else _of_rows(path, kind)


def _of_lists(path: str) -> Iterator[tuple[str, str]]:
    with open_url(path) as file:
        try:
            found = json.load(file)
        except (ValueError, RecursionError) as error:
            raise SampleError(f"the map cannot be read: {error}", url=path) from error
    if not isinstance(found, dict) or not all(isinstance(names, list) for names in found.values()):
        raise SpecError("a map in JSON is an object of lists of keys, by shard", url=path)
    return ((str(name), shard) for shard, names in found.items() for name in names)


def _of_lines(path: str) -> Iterator[tuple[str, str]]:
    with open_url(path) as file, TextIOWrapper(file, "utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            key, _, shard = line.strip("\r\n").rpartition("\t" if "\t" in line else " ")
            if key and shard:
                yield key, shard
            elif line.strip():
                raise SampleError(f"line {number} is no key and shard with a tab or space between", url=path)


def _separated(path: str, delimiter: str) -> Iterator[tuple[str, str]]:
    csv.field_size_limit(sys.maxsize)
    with open_url(path) as file, TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            first = next(reader, [])
            has_header = {*COLUMNS} <= {*first}
            if not has_header and len(first) != len(COLUMNS):
                raise _no_columns(path, first)
            places = [first.index(name) for name in COLUMNS] if has_header else [0, 1]
            for row in reader if has_header else _chained(first, reader):
                if len(row) != len(first):
                    raise SampleError(f"line {reader.line_num} has another number of columns than the first", url=path)
                yield row[places[0]], row[places[1]]
        except (csv.Error, UnicodeDecodeError) as error:
            raise SampleError(f"line {reader.line_num} cannot be read: {error}", url=path) from error


def _chained(first: list[str], reader: Iterable[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from reader


def _of_rows(path: str, kind: str) -> Iterator[tuple[str, str]]:
    if kind not in ("jsonl", "parquet", "arrow"):
        raise SpecError("a map is a csv, tsv, txt, json, jsonl, parquet or arrow file", url=path)
    for number, row in enumerate(ROWS[kind](path), 1):
        if any(row.get(name) is None for name in COLUMNS):
            raise _no_columns(path, row) if number == 1 else SampleError(f"row {number} has no key or shard", url=path)
        yield str(row["key"]), str(row["shard"])


def _no_columns(path: str, names: Iterable[Any]) -> SpecError:
    return SpecError(f"a map has the columns key and shard, not {', '.join(map(str, names))[:200]!r}", url=path)


class MapGroups:
    """The shard of each sample, as a map has it; `unmapped` is "error", "drop", or the shard of those that are not in it."""

    def __init__(self, shards: Mapping[str, str], unmapped: str) -> None:
        self._shards = shards
        self._unmapped = unmapped
        self._unseen = set(shards)
        self._elsewhere = 0

    @property
    def names(self) -> set[str]:
        """All shards that there may be."""
        return {*self._shards.values(), self._unmapped}

    def group(self, sample: RawSample) -> str | None:
        """None for one that is to be dropped. Raises SampleError for one that the map should have."""
        shard = self._shards.get(sample.key)
        if shard is not None:
            self._unseen.discard(sample.key)
            return shard
        if self._unmapped == "error":
            message = "the map has no shard for this key; --unmapped drop (unmapped='drop') leaves such samples out"
            raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
        if self._unmapped == "drop":
            return None
        self._elsewhere += 1
        return self._unmapped

    def look_up(self, sample: RawSample) -> str:
        """The shard of one that is not dropped."""
        return self._shards.get(sample.key, self._unmapped)

    def report(self, report: Report) -> None:
        """What the report should say beside the numbers of samples."""
        if self._unseen:
            report.notes[UNUSED] = len(self._unseen)
        if self._elsewhere:
            report.notes[f"samples that are not in the map, in {self._unmapped}"] = self._elsewhere
