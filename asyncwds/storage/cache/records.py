"""What a cache writes down about a shard that is whole: `Record`, kept as JSON beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a shard that is whole; `mtime` is that of its file [ns]."""

    url: str
    url_hash: str
    size: int
    identity: str | None
    mtime: int
    sums: str | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """A shard that is there; `identity` is that of its file."""

    name: str
    path: str
    identity: str
    record: Record


def read_record(path: Path) -> Record:
    """Raises FileNotFoundError, or ValueError or TypeError where another version wrote it, or nobody to its end."""
    return Record(**json.loads(path.read_bytes()))


def as_json(record: Record) -> bytes:
    return json.dumps(asdict(record)).encode()
