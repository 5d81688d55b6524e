"""`diff`: which samples are in one data set and not in the other, and which fields differ."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Literal, NamedTuple

from asyncwds.tar.raw import RawSample
from asyncwds.tools.inputs import Inputs, read_raw
from asyncwds.tools.report import Report

PARTITIONS = 64
"""Of both data sets by a hash of their keys; one of them is in memory at a time."""

Kind = Literal["added", "removed", "changed"]
Digests = dict[str, list[int | str]]  # by field: bytes, and a digest of them
Partition = dict[tuple[str, int], tuple[str, Digests]]  # by key, and which one it is of those that have it: url, fields


class Difference(NamedTuple):
    """A sample that is "added" (in the second data set only), "removed" (in the first only), or "changed".

    `fields` are those that differ, with their sizes [bytes] before and after; None where there is no such field.
    """

    kind: Kind
    key: str
    url: str
    fields: dict[str, tuple[int | None, int | None]]


@dataclass
class Comparison:
    """Iterating gives the differences, once. `counts` has how many samples were added, removed, changed, and the same, so far."""

    before: Inputs
    after: Inputs
    temporary: str | None
    counts: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Difference]:
        with TemporaryDirectory(prefix="asyncwds-diff-", dir=self.temporary) as folder:
            for name, inputs in (("before", self.before), ("after", self.after)):
                _scatter(inputs, Path(folder), name)
            for number in range(PARTITIONS):
                old, new = (_load(Path(folder, f"{name}-{number}")) for name in ("before", "after"))
                yield from _compare(old, new, self.counts)


def diff_shards(before: Inputs, after: Inputs, *, temporary: str | None = None) -> Comparison:
    """Compares two data sets sample by sample: by key, and each field by a digest of its bytes. Order and shards do not matter.

    Of samples with the same key the first is compared with the first, and so on. Both are read once; what is known of their
    samples, some 100 bytes of each, is kept in the folder `temporary`, and a 64th of it is in memory at a time. The differences
    come in an order of their own, always the same. Raises FetchError, TarError, SampleError while iterating.
    """
    return Comparison(before, after, temporary)


def _scatter(inputs: Inputs, folder: Path, name: str) -> None:
    with ExitStack() as open_now:
        files: list[BinaryIO] = [
            open_now.enter_context(Path(folder, f"{name}-{number}").open("wb")) for number in range(PARTITIONS)
        ]
        with closing(read_raw(inputs, Report())) as samples:
            for sample in samples:
                place = hashlib.blake2b(sample.key.encode("utf-8", "surrogateescape"), digest_size=2).digest()
                line = json.dumps([sample.key, sample.url, _digest_fields(sample)])
                files[int.from_bytes(place, "little") % PARTITIONS].write(line.encode() + b"\n")


def _digest_fields(sample: RawSample) -> Digests:
    """Of members that give a field again, the second is `txt (2)`: a difference in any is one."""
    found: Digests = {}
    times: Counter[str] = Counter()
    for member in sample.members:
        times[member.field] += 1
        name = member.field if times[member.field] == 1 else f"{member.field} ({times[member.field]})"
        found[name] = [member.size, hashlib.blake2b(member.read(), digest_size=16).hexdigest()]
    return found


def _load(path: Path) -> Partition:
    found: Partition = {}
    seen: dict[str, int] = {}
    with path.open("rb") as lines:
        for line in lines:
            key, url, fields = json.loads(line)
            number = seen[key] = seen.get(key, -1) + 1
            found[key, number] = url, fields
    return found


def _compare(old: Partition, new: Partition, counts: Counter[str]) -> Iterator[Difference]:
    for place in sorted(old.keys() | new.keys()):
        kind: Kind = "added" if place not in old else "removed" if place not in new else "changed"
        (url_before, before), (url_after, after) = old.get(place, ("", {})), new.get(place, ("", {}))
        fields = {
            name: (_size(before, name), _size(after, name))
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        }
        if kind == "changed" and not fields:
            counts["same"] += 1
            continue
        counts[kind] += 1
        yield Difference(kind, place[0], url_after or url_before, fields)


def _size(fields: Digests, name: str) -> int | None:
    return int(fields[name][0]) if name in fields else None
