"""The file of a ledger: a line in JSON for some thousand samples, which says which of them were in which item.

A line is whole by itself: `epoch`, `pass`, the number in the epoch of its first item, `step`, and how many there are, `steps`;
where the samples were, in columns; and their keys and shards, compressed. The last line of a process that was killed may be torn.
"""

from __future__ import annotations

import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from asyncwds.errors import redact
from asyncwds.pipeline.held import FEW, Ref, pack_refs, pack_rows, unpack_refs
from asyncwds.pipeline.sample_columns import SampleColumns, SampleNotes
from asyncwds.runtime.worker_info import WorkerInfo


class LedgerShard(NamedTuple):
    """`number` is its index in the list, `mark` made of the identity of the object, 0 where that is not known.

    The samples of one that is `seekable` are read by themselves.
    """

    number: int
    url: str | None
    mark: int = 0
    seekable: bool = False


class KnownShard(Protocol):
    """As `LedgerShard`, or as whoever reads shards knows them."""

    @property
    def url(self) -> str | None: ...
    @property
    def mark(self) -> int: ...
    @property
    def seekable(self) -> bool: ...


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


def write_line(  # noqa: PLR0917 - what a line is made of
    lines: Lines,
    number: int,
    step: int,
    items: SampleColumns,
    urls: Sequence[str | None],
    known: Mapping[int, KnownShard],
) -> str:
    """A line of items of pass `number`, whose shards are numbers of `urls`; `known` are shards by index."""
    used, indexes, places = _used(items)
    values = {
        "epoch": lines.epoch,
        "pass": number,
        "step": step,
        "steps": len(items.sizes),
        "worker_info": list(astuple(lines.place)),
        "seed": lines.seed,
        "samples": _pack(items, places),
        "names": _pack_names([_row(urls[each], index, known) for each, index in zip(used, indexes, strict=True)], items.keys),
    }
    return json.dumps(values, separators=(",", ":")) + "\n"


def _used(items: SampleColumns) -> tuple[list[int], list[int], Any]:
    """The numbers of the shards that occur, their indexes, and of each sample the place of its shard among these."""
    import numpy as np  # noqa: PLC0415 - heavy

    numbers = items.rows[:, 0]
    used = np.flatnonzero(np.bincount(numbers))
    places = np.zeros(int(used.max(initial=0)) + 1, np.int64)
    places[used] = np.arange(len(used))
    of_samples, indexes = places[numbers], np.full(len(used), -1)
    np.maximum.at(indexes, of_samples, items.rows[:, 1])
    return used.tolist(), indexes.tolist(), of_samples


def _pack(items: SampleColumns, places: Any) -> Any:
    rows, sizes = items.rows[:, 1:].copy(), items.sizes
    rows[:, 0] = places
    if len(rows) <= FEW:
        return pack_refs(rows.tolist(), sizes)
    return pack_rows(rows, None if len(sizes) == len(rows) and set(sizes) == {1} else sizes)


def _row(url: str | None, index: int, known: Mapping[int, KnownShard]) -> list[Any]:
    shard = known.get(index)
    mark, seekable = (shard.mark, shard.seekable) if shard is not None and shard.url == url else (0, False)
    return [index, None if url is None else redact(url), mark, int(seekable)]


def _pack_names(rows: list[list[Any]], keys: Sequence[str | None]) -> str:
    try:
        names = "\0".join(keys)  # type: ignore[arg-type] # nearly always
    except TypeError:
        names = "\0".join([str(key or "") for key in keys])
    return b64encode(zlib.compress(json.dumps([rows, names]).encode(), 1)).decode()


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

    def append(self, number: int, items: SampleColumns, urls: Sequence[str | None], known: Mapping[int, KnownShard]) -> None:
        if not self._begun:
            self._begun = True
            cut(self._path, self._lines.epoch, self._step)
        text = write_line(self._lines, number, self._step, items, urls, known)
        self._step += len(items.sizes)
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
    known = {shard.number: shard for shard in shards}
    lines = Lines(epoch, values["seed"], WorkerInfo(*values["worker_info"]))
    notes = SampleNotes()
    for traces in items[:left]:
        notes.add(tuple([(url, key, (shards[ref[0]].number, *ref[1:])) for url, key, ref in traces]))
    line: dict[str, Any] = json.loads(write_line(lines, values["pass"], values["step"], notes.take(), notes.urls, known))
    return line
