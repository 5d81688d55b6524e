"""`dedup`: of samples that are the same by their key, a field's bytes or a value, one is kept."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Literal

import numpy as np

from asyncwds import checks
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import describe_run, select
from asyncwds.tools.deduplicating.nearness import Near, keep_apart, parse_near
from asyncwds.tools.expressions import parse
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.outputs import Outputs, ShardOutputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.targets import write_target

Keep = Literal["first", "largest"]
DUPLICATE = "duplicate"

Flags = np.ndarray[Any, np.dtype[np.bool_]]


def dedup_shards(
    inputs: Inputs,
    outputs: Outputs,
    selection: Selection | None = None,
    *,
    by: str = "key",
    keep: Keep = "first",
    drop_list: str | None = None,
) -> Report:
    """Copies samples, in order, without those of which another one is kept.

    by         what makes two the same: an expression, such as "key", "sha256(jpg)" or "json.uid"; or "phash(jpg,<=4)": pictures
               that look alike, whose hashes of 64 bits differ in at most 4. Samples of which it has no value are all kept, as
               are those whose picture cannot be read or is of one colour; the report's notes have their number
    keep       "first", or "largest": that of the most bytes, the first of several
    drop_list  path or URL of a list of the keys that are dropped, a line each, for `exclude_keys`. With
               `Outputs(target=None, dry_run=True)` there is nothing else

    Reads the samples twice, payloads only where `by` looks at them; 24 bytes of each stay in memory, with phash some 100 more for
    each bit of the distance. Values are compared by a hash of 128 bits. No sample is dropped that is not within the distance of
    one that is kept. Raises SpecError, FetchError, TarError, SampleError.
    """
    selection = selection or Selection()
    checks.one_of("keep", keep, ("first", "largest"))
    checks.require("-" not in inputs.urls, "standard input can be read once only, and dedup reads twice")
    checks.require(by != "key" or drop_list is None, "a list of keys cannot tell samples apart that have the same: write shards")
    near = parse_near(by)
    report, dropped = Report(), bytearray()
    kept = choose(inputs, selection, by, keep, report) if near is None else choose_near(inputs, selection, near, keep, report)
    journal = outputs.journal(describe_run("dedup", inputs, selection, by, keep) if outputs.resume else None)
    with (
        BlockingPool("copy") as pool,
        closing(select(inputs, selection, report)) as samples,
        ShardOutputs(outputs, report, pool, journal=journal) as writer,
    ):
        for sample, is_kept in zip(samples, kept.tolist(), strict=True):
            if is_kept:
                writer.write(sample)
                continue
            report.dropped[DUPLICATE] += 1
            if drop_list is not None:
                dropped += sample.key.encode("utf-8", "surrogateescape") + b"\n"
    if drop_list is not None:
        write_target(drop_list, bytes(dropped), inputs.access)
    return report.check()


def choose(inputs: Inputs, selection: Selection, by: str, keep: Keep, report: Report) -> Flags:
    """Of each sample, whether it is kept."""
    high, low, sizes, known = array("Q"), array("Q"), array("q"), array("b")
    with closing(select(inputs, selection, Report())) as samples:
        for digest, size in _digests(samples, by):
            known.append(digest is not None)
            high.append(int.from_bytes((digest or b"")[:8], "little"))
            low.append(int.from_bytes((digest or b"")[8:], "little"))
            sizes.append(size)
    kept = mark_kept(np.array(high), np.array(low), np.array(sizes), keep)
    kept[~np.array(known, dtype=bool)] = True
    if unknown := len(known) - sum(known):
        report.notes[f"samples of which {by} has no value, kept"] = unknown
    return kept


def _digests(samples: Iterator[RawSample], by: str) -> Iterator[tuple[bytes | None, int]]:
    expression = parse(by)
    for sample in samples:
        value = sample.key if by == "key" else expression.value(sample)
        raw = value if isinstance(value, bytes) else None if value is None else repr(value).encode("utf-8", "surrogateescape")
        kind = b"bytes" if isinstance(value, bytes) else b"value"
        yield None if raw is None else hashlib.blake2b(raw, digest_size=16, person=kind).digest(), sample.nbytes


def choose_near(inputs: Inputs, selection: Selection, near: Near, keep: Keep, report: Report) -> Flags:
    """The same by what pictures look like: the first, or the largest, of those that are near one another."""
    hashes, sizes, known = array("Q"), array("q"), array("b")
    with closing(select(inputs, selection, Report())) as samples:
        for sample in samples:
            found = hash_field(sample, near.field)
            hashes.append(found or 0)
            known.append(found is not None)
            sizes.append(sample.nbytes)
    order = np.arange(len(hashes)) if keep == "first" else np.lexsort((np.arange(len(hashes)), -np.array(sizes)))
    order = order[np.array(known, dtype=bool)[order]]
    kept = np.ones(len(hashes), dtype=bool)
    kept[order] = np.fromiter(keep_apart([hashes[place] for place in order], near.distance), bool, len(order))
    report.notes["samples without a picture to compare, kept"] = len(hashes) - len(order)
    return kept


def hash_field(sample: RawSample, name: str) -> int | None:
    """None where there is no such field, or no picture in it."""
    from asyncwds.tools.deduplicating.images import hash_image  # noqa: PLC0415 - heavy, and of use here only

    member = sample.fields().get(name)
    try:
        return None if member is None else hash_image(member.read())
    except Exception:  # noqa: BLE001 - whatever decoders raise
        return None


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
