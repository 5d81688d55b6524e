"""`dedup`: of samples that are the same by their key, a field's bytes or a value, one is kept."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from asyncwds import checks
from asyncwds.errors import redact
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import describe_run, select
from asyncwds.tools.deduplicating.nearness import keep_apart, parse_near
from asyncwds.tools.each_shard import of_each_shard
from asyncwds.tools.expressions import parse
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import Outputs, ShardOutputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.targets import write_target

Keep = Literal["first", "largest"]
DUPLICATE = "duplicate"

Hashed = Callable[[RawSample], tuple[int, int] | None]
"""The two halves of a sample's hash; None where it has none."""
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def dedup_shards(
    inputs: Inputs,
    outputs: Outputs,
    selection: Selection | None = None,
    *,
    by: str = "key",
    keep: Keep = "first",
    drop_list: str | None = None,
    listing: str | None = None,
    jobs: int = 1,
) -> Report:
    """Copies samples, in order, without those of which another one is kept.

    by         what makes two the same: an expression, such as "key", "sha256(jpg)" or "json.uid"; or "phash(jpg,<=4)": pictures
               that look alike, whose hashes of 64 bits differ in at most 4. Samples of which it has no value are all kept, as
               are those whose picture cannot be read or is of one colour; the report's notes have their number
    keep       "first", or "largest": that of the most bytes, the first of several
    drop_list  path or URL of a list of the keys that are dropped, a line each, for `exclude_keys`. With
               `Outputs(target=None, dry_run=True)` there is nothing else
    listing    path or URL of lines of JSON, one for each sample that is dropped: its key and shard, and those of the one that is
               kept in its place, `kept` and `kept_url`, which are not known of pictures that look alike
    jobs       so many processes look at a shard each, the first of the two times

    Reads the samples twice, payloads only where `by` looks at them; 24 bytes of each stay in memory, with phash some 100 more for
    each bit of the distance. Values are compared by a hash of 128 bits. No sample is dropped that is not within the distance of
    one that is kept. Raises SpecError, FetchError, TarError, SampleError.
    """
    selection = selection or Selection()
    checks.whole("jobs", jobs, 1)
    checks.one_of("keep", keep, ("first", "largest"))
    checks.require("-" not in inputs.urls, "standard input can be read once only, and dedup reads twice")
    checks.require(by != "key" or drop_list is None, "a list of keys cannot tell samples apart that have the same: write shards")
    near = parse_near(by)
    report, dropped = Report(), bytearray()
    rows: list[tuple[str, str, int]] = []
    make = partial(by_value, by) if near is None else partial(by_picture, near.field)
    hashes = _hash_all(make, inputs, selection, jobs)
    kept = choose(hashes, by, keep, report) if near is None else choose_near(hashes, near.distance, keep, report)
    partners = find_partners(hashes, kept) if listing is not None and near is None else None
    names = {} if partners is None else dict.fromkeys(partners[~kept].tolist(), ("", ""))
    journal = outputs.journal(describe_run("dedup", inputs, selection, by, keep) if outputs.resume else None)
    with (
        BlockingPool("copy") as pool,
        closing(select(inputs, selection, report)) as samples,
        ShardOutputs(outputs, report, pool, journal=journal) as writer,
    ):
        for place, (sample, is_kept) in enumerate(zip(samples, kept.tolist(), strict=True)):
            if is_kept:
                if place in names:
                    names[place] = (sample.key, redact(sample.url))
                writer.write(sample)
                continue
            if listing is not None:
                rows.append((sample.key, redact(sample.url), -1 if partners is None else int(partners[place])))
            report.dropped[DUPLICATE] += 1
            if drop_list is not None:
                dropped += sample.key.encode("utf-8", "surrogateescape") + b"\n"
    if drop_list is not None:
        write_target(drop_list, bytes(dropped), inputs.access)
    if listing is not None:
        write_target(listing, "".join(_line(row, names) for row in rows).encode("utf-8", "surrogatepass"), inputs.access)
    return report.check()


def _line(row: tuple[str, str, int], names: Mapping[int, tuple[str, str]]) -> str:
    key, url, partner = row
    kept, kept_url = names.get(partner, (None, None))
    return json.dumps({"key": key, "url": url, "kept": kept, "kept_url": kept_url}) + "\n"


@dataclass
class _Hashes:
    """Of each sample the two halves of its hash, which are 0 where it is not known, and its bytes."""

    high: array[int] = field(default_factory=lambda: array("Q"))
    low: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    known: array[int] = field(default_factory=lambda: array("b"))

    def append(self, found: tuple[int, int] | None, size: int) -> None:
        high, low = found or (0, 0)
        self.high.append(high)
        self.low.append(low)
        self.sizes.append(size)
        self.known.append(found is not None)

    def add(self, other: _Hashes) -> None:
        """Of the samples that come behind."""
        self.high += other.high
        self.low += other.low
        self.sizes += other.sizes
        self.known += other.known


def _hash_all(make: Callable[[], Hashed], inputs: Inputs, selection: Selection, jobs: int) -> _Hashes:
    look = partial(_hash_samples, make)
    if jobs == 1:
        return look(inputs, selection)
    checks.require(inputs.on_error != "stop", "with several jobs on_error is fail or skip: others are under way")
    hashes = _Hashes()
    with closing(of_each_shard(look, inputs, selection, jobs)) as found:
        for one in found:
            hashes.add(one)
    return hashes


def _hash_samples(make: Callable[[], Hashed], inputs: Inputs, selection: Selection) -> _Hashes:
    hashes, hashed = _Hashes(), make()
    with closing(select(inputs, selection, Report())) as samples:
        for sample in samples:
            hashes.append(hashed(sample), sample.nbytes)
    return hashes


def choose(hashes: _Hashes, by: str, keep: Keep, report: Report) -> Flags:
    """Of each sample, whether it is kept."""
    kept = mark_kept(np.array(hashes.high), np.array(hashes.low), np.array(hashes.sizes), keep)
    kept[~np.array(hashes.known, dtype=bool)] = True
    if unknown := len(hashes.known) - sum(hashes.known):
        report.notes[f"samples of which {by} has no value, kept"] = unknown
    return kept


def by_value(by: str) -> Hashed:
    """Samples of which the expression has no value have no hash."""
    expression = None if by == "key" else parse(by)

    def hashed(sample: RawSample) -> tuple[int, int] | None:
        value = sample.key if expression is None else expression.value(sample)
        raw = value if isinstance(value, bytes) else None if value is None else repr(value).encode("utf-8", "surrogateescape")
        if raw is None:
            return None
        kind = b"bytes" if isinstance(value, bytes) else b"value"
        digest = hashlib.blake2b(raw, digest_size=16, person=kind).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")

    return hashed


def choose_near(hashes: _Hashes, distance: int, keep: Keep, report: Report) -> Flags:
    """The same by what pictures look like: the first, or the largest, of those that are near one another."""
    every = np.arange(len(hashes.high))
    order = every if keep == "first" else np.lexsort((every, -np.array(hashes.sizes)))
    order = order[np.array(hashes.known, dtype=bool)[order]]
    kept = np.ones(len(every), dtype=bool)
    kept[order] = np.fromiter(keep_apart([hashes.high[place] for place in order], distance), bool, len(order))
    report.notes["samples without a picture to compare, kept"] = len(every) - len(order)
    return kept


def by_picture(name: str) -> Hashed:
    def hashed(sample: RawSample) -> tuple[int, int] | None:
        found = hash_field(sample, name)
        return None if found is None else (found, 0)

    return hashed


def hash_field(sample: RawSample, name: str) -> int | None:
    """None where there is no such field, or no picture in it."""
    from asyncwds.tools.deduplicating.images import hash_image  # noqa: PLC0415 - heavy, and of use here only

    member = sample.fields().get(name)
    try:
        return None if member is None else hash_image(member.read())
    except Exception:  # noqa: BLE001 - whatever decoders raise
        return None


def find_partners(hashes: _Hashes, kept: Flags) -> Any:
    """Of each sample the number of the one with its hash that is kept."""
    high, low = np.array(hashes.high), np.array(hashes.low)
    order = np.lexsort((low, high))
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(begins) - 1
    of_group = np.zeros(len(order), dtype=np.int64)
    of_group[group[kept]] = np.flatnonzero(kept)
    return of_group[group]


def mark_kept(high: Any, low: Any, sizes: Any, keep: Keep) -> Flags:
    """One of each pair of (high, low)."""
    places = np.arange(len(high))
    order = places if keep == "first" else np.lexsort((places, -sizes))
    rank = np.empty(len(high), dtype=np.int64)
    rank[order] = places
    by_value = np.lexsort((rank, low, high))
    begins = np.ones(len(high), dtype=bool)
    begins[1:] = (high[by_value][1:] != high[by_value][:-1]) | (low[by_value][1:] != low[by_value][:-1])
    kept = np.zeros(len(high), dtype=bool)
    kept[by_value[begins]] = True
    return kept
