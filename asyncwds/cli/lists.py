"""The forms in which `asyncwds ls` shows samples: each is a function from samples to lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from asyncwds.errors import redact
from asyncwds.formatting.texts import escape, plural, printable, size

if TYPE_CHECKING:
    from asyncwds.tools.ls import Listed, ShardGroup

_SETS = 20
Totals = dict[str, list[int]]  # by field: samples, bytes, smallest, largest


def in_lines(samples: Iterable[Listed], as_json: bool) -> Iterator[str]:
    for sample in samples:
        if as_json:
            yield json.dumps({"key": sample.key, "url": redact(sample.url), "fields": sample.sizes})
        else:
            yield "\t".join([escape(sample.key), *[f"{escape(name)}:{nbytes}" for name, nbytes in sample.sizes.items()]])


def in_keys(samples: Iterable[Listed], as_json: bool) -> Iterator[str]:
    for sample in samples:
        yield json.dumps(sample.key) if as_json else escape(sample.key)


def with_offsets(samples: Iterable[Listed], as_json: bool) -> Iterator[str]:
    """Below the name of its shard each member: the byte at which its payload begins, its size, its name."""
    url = None
    for sample in samples:
        if as_json:
            fields = {name: {"offset": sample.offsets[name], "bytes": nbytes} for name, nbytes in sample.sizes.items()}
            yield json.dumps({"key": sample.key, "url": redact(sample.url), "fields": fields})
            continue
        if sample.url != url:
            yield f"{_name(sample.url)}:"
        url = sample.url
        for name, nbytes in sample.sizes.items():
            yield f"{sample.offsets[name]:>12}  {nbytes:>12}  {escape(f'{sample.key}.{name}')}"


def in_tree(samples: Iterable[Listed], as_json: bool) -> Iterator[str]:
    """Shards, their samples, the fields of these; as JSON a line for each shard."""
    for url, of_shard in groupby(samples, key=lambda sample: sample.url):
        if as_json:
            yield json.dumps({"url": redact(url), "samples": [{"key": sample.key, "fields": sample.sizes} for sample in of_shard]})
            continue
        yield _name(url)
        for sample, is_last in _with_end(of_shard):
            yield f"{'└── ' if is_last else '├── '}{escape(sample.key)}"
            before = "    " if is_last else "│   "
            for (name, nbytes), is_last_field in _with_end(sample.sizes.items()):
                yield f"{before}{'└── ' if is_last_field else '├── '}{escape(name)}  {size(nbytes)}"


def in_fields(samples: Iterable[Listed], as_json: bool) -> Iterator[str]:
    """Each field, and where samples differ in their fields, those that they have together."""
    totals: Totals = {}
    sets: Counter[tuple[str, ...]] = Counter()
    for sample in samples:
        count(sample, totals)
        sets[tuple(sample.sizes)] += 1
    number = sets.total()
    if as_json:
        yield json.dumps({"samples": number, "fields": {name: _described(found) for name, found in sorted(totals.items())}})
        return
    width = max([len("field"), *[len(escape(name)) for name in totals]])
    yield f"{'field':<{width}}  {'samples':>9}  {'share':>6}  {'bytes':>9}  {'min':>9}  {'mean':>9}  {'max':>9}"
    for name, (have, nbytes, least, most) in sorted(totals.items()):
        sizes = "".join([f"  {size(each):>9}" for each in (nbytes, least, nbytes / have, most)])
        yield f"{escape(name):<{width}}  {have:>9}  {have / number:>6.1%}{sizes}"
    if len(sets) > 1:
        yield "fields that samples have together:"
        yield from [f"{have:>9} x {' '.join(map(escape, names))}" for names, have in sets.most_common(_SETS)]


def in_groups(groups: Iterable[ShardGroup], as_json: bool) -> Iterator[str]:
    """Shards whose names differ in one number."""
    shards = samples = 0
    for group in groups:
        shards, samples = shards + group.shards, samples + group.samples
        if as_json:
            yield json.dumps(group.as_dict())
            continue
        each = f"{group.fewest}" if group.fewest == group.most else f"{group.fewest} to {group.most}"
        counted = plural(group.samples, "sample") + (f" ({each} each)" if group.shards > 1 else "")
        nbytes = "size unknown" if group.nbytes is None else size(group.nbytes)
        known_by = f"by {', '.join(sorted(group.known_by))}"
        yield "\t".join([_name(group.pattern), plural(group.shards, "shard"), counted, nbytes, known_by])
    if not as_json:
        yield f"{plural(samples, 'sample')} in {plural(shards, 'shard')}"


def totals_of(totals: Totals, samples: int, shards: int, as_json: bool) -> Iterator[str]:
    if as_json:
        fields = {name: {"samples": number, "bytes": nbytes} for name, (number, nbytes, _, _) in sorted(totals.items())}
        yield json.dumps({"samples": samples, "shards": shards, "fields": fields})
        return
    yield f"{plural(samples, 'sample')} in {plural(shards, 'shard')}"
    for name, (number, nbytes, _, _) in sorted(totals.items()):
        yield f"  {escape(name):<16} {number:>9} x {size(nbytes / number):>9} = {size(nbytes)}"


def count(sample: Listed, totals: Totals) -> None:
    for name, nbytes in sample.sizes.items():
        found = totals.setdefault(name, [0, 0, nbytes, nbytes])
        found[:] = found[0] + 1, found[1] + nbytes, min(found[2], nbytes), max(found[3], nbytes)


def _described(found: list[int]) -> dict[str, Any]:
    number, nbytes, least, most = found
    return {"samples": number, "bytes": nbytes, "min": least, "mean": nbytes / number, "max": most}


def _name(url: str) -> str:
    return printable(redact(url))


def _with_end(items: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Each with whether it is the last."""
    waiting: list[Any] = []
    for item in items:
        yield from [(before, False) for before in waiting]
        waiting = [item]
    yield from [(last, True) for last in waiting]


FORMS: dict[str, Callable[[Iterable[Listed], bool], Iterator[str]]] = {
    "lines": in_lines,
    "keys": in_keys,
    "long": with_offsets,
    "tree": in_tree,
    "fields": in_fields,
}
