"""The file of a ledger: a line in JSON for some thousand samples, which says which of them were in which item.

A line is whole by itself: `epoch`, `pass`, the number in the epoch of its first item, `step`, and how many there are, `steps`;
where the samples were, in columns; and their keys and shards, compressed. The last line of a process that was killed may be torn.
"""

from __future__ import annotations

import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from asyncwds.errors import redact
from asyncwds.pipeline.held import Ref, pack_refs, unpack_refs
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.runtime.worker_info import WorkerInfo

Traces = tuple[SampleTrace, ...]
NOWHERE = (-1, -1, -1)


class LedgerShard(NamedTuple):
    """`number` is its index in the list, `mark` made of the identity of the object, 0 where that is not known.

    The samples of one that is `seekable` are read by themselves.
    """

    number: int
    url: str | None
    mark: int = 0
    seekable: bool = False


@dataclass(frozen=True)
class Lines:
    """What all lines of an iteration have in common."""

    epoch: int
    seed: int
    place: WorkerInfo


def path_of(path: str | os.PathLike[str], place: WorkerInfo) -> Path:
    """The file of a rank and worker."""
    whole = Path(path)
    rank = f".rank{place.rank}" if place.world_size > 1 else ""
    worker = f".worker{place.worker}" if place.num_workers > 1 else ""
    return whole.with_name(f"{whole.stem}{rank}{worker}{whole.suffix}")


def write_line(lines: Lines, number: int, step: int, items: Sequence[Traces], shards: dict[str | None, LedgerShard]) -> str:
    """A line of items of pass `number`; `shards` by url are those that are known."""
    table: dict[tuple[str | None, int], int] = {}
    refs, keys = [], []
    for url, key, origin in chain.from_iterable(items):
        index, ordinal, offset = NOWHERE if origin is None else origin
        refs.append((table.setdefault((url, index), len(table)), ordinal, offset))
        keys.append(str(key or ""))
    known = [shards.get(url) or LedgerShard(index, url) for url, index in table]
    rows = [[each.number, None if each.url is None else redact(each.url), each.mark, int(each.seekable)] for each in known]
    values = {
        "epoch": lines.epoch,
        "pass": number,
        "step": step,
        "steps": len(items),
        "worker_info": list(astuple(lines.place)),
        "seed": lines.seed,
        "samples": pack_refs(refs, [len(traces) for traces in items]),
        "names": b64encode(zlib.compress(json.dumps([rows, "\0".join(keys)]).encode(), 1)).decode(),
    }
    return json.dumps(values, separators=(",", ":")) + "\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Those that are whole."""
    with path.open("rb") as file:
        for line in file:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if line.endswith(b"\n"):
                yield values


def unpack_items(values: dict[str, Any]) -> tuple[list[list[tuple[str | None, str, Ref]]], list[LedgerShard]]:
    """The items of a line, whose origins name shards by their place in the list of those."""
    rows, keys = json.loads(zlib.decompress(b64decode(values["names"])))
    names = iter(keys.split("\0"))
    shards = [LedgerShard(index, url, mark, bool(seekable)) for index, url, mark, seekable in rows]
    items = unpack_refs(values["samples"])
    return [[(shards[ref[0]].url, next(names), ref) for ref in refs] for refs in items], shards


class LedgerFile:
    """Appends to the file of a rank and worker. Nothing is open between two lines."""

    def __init__(self, path: Path, lines: Lines, step: int) -> None:
        self._path = path
        self._lines = lines
        self._step = step  # the next one
        self._begun = False

    def append(self, number: int, items: Sequence[Traces], shards: dict[str | None, LedgerShard]) -> None:
        if not self._begun:
            self._begun = True
            cut(self._path, self._lines.epoch, self._step)
        text = write_line(self._lines, number, self._step, items, shards)
        self._step += len(items)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)


def cut(path: Path, epoch: int, step: int) -> None:
    """Leaves what was before an item of an epoch: what comes from there on comes again."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return
    kept = [json.dumps(line, separators=(",", ":")) + "\n" for values in read_lines(path) if (line := _before(values, epoch, step))]
    text = "".join(kept)
    if len(text.encode()) != path.stat().st_size:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)


def _before(values: dict[str, Any], epoch: int, step: int) -> dict[str, Any] | None:
    if values["epoch"] != epoch:
        return values if values["epoch"] < epoch else None
    left = min(values["steps"], step - values["step"])
    if left <= 0:
        return None
    if left == values["steps"]:
        return values
    items, shards = unpack_items(values)
    by_url = {shard.url: shard for shard in shards}
    lines = Lines(epoch, values["seed"], WorkerInfo(*values["worker_info"]))
    kept = [tuple([(url, key, (shards[ref[0]].number, *ref[1:])) for url, key, ref in traces]) for traces in items[:left]]
    line: dict[str, Any] = json.loads(write_line(lines, values["pass"], values["step"], kept, by_url))
    return line
