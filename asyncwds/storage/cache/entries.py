"""What takes room in the folder of a cache. Blocking: called in threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from asyncwds.storage.cache.names import INDEX


class Entry(NamedTuple):
    """Something that takes room: a shard, or a download (`part`)."""

    used: int
    name: str
    size: int
    part: bool


def find_entries(root: Path, folder: str = "") -> Iterator[Entry]:
    """All shards that have a record, and all downloads."""
    # 0.1 s for 10,000 shards; with pathlib it were five times that.
    try:
        found = list(os.scandir(f"{root}/{INDEX}/{folder}"))
    except FileNotFoundError:
        return
    for file in found:
        stem, _, kind = file.name.rpartition(".")
        name = folder + stem
        with suppress(FileNotFoundError):  # another process has removed it
            if file.is_dir():
                yield from find_entries(root, f"{folder}{file.name}/")
            elif kind == "json":
                yield Entry(file.stat().st_mtime_ns, name, _size(f"{root}/{name}"), part=False)
            elif kind == "part":
                yield Entry(file.stat().st_mtime_ns, name, file.stat().st_size, part=True)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - as fast as it goes
    except FileNotFoundError:
        return 0
