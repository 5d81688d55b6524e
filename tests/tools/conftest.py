"""Shards to work on, read with the standard library, which knows nothing of samples."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tqdm import tqdm

tqdm.monitor_interval = 0  # of progress bars: it is a thread that stays

Members = list[tuple[str, bytes]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes members to a shard; returns its path."""

    def write(name: str, members: Iterable[tuple[str, bytes]], mode: str = "w", **options: object) -> str:
        path = tmp_path / name
        with tarfile.open(path, mode, **options) as archive:  # type: ignore[call-overload]
            for member, data in members:
                info = tarfile.TarInfo(member)
                info.size, info.mtime, info.uname = len(data), 1_700_000_000, "somebody"
                archive.addfile(info, io.BytesIO(data))
        return str(path)

    return write


@pytest.fixture
def members_of() -> Callable[..., Members]:
    """All files of archives, one after another."""

    def members_of(*paths: str | Path | bytes) -> Members:
        found: Members = []
        for path in paths:
            data = path if isinstance(path, bytes) else Path(path).read_bytes()
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                found += [(info.name, archive.extractfile(info).read()) for info in archive if info.isfile()]  # type: ignore[union-attr]
        return found

    return members_of


@pytest.fixture
def numbered(write: Callable[..., str]) -> Callable[..., str]:
    """A shard of samples 0, 1, … with cls, json and jpg; other arguments as for `write`."""

    def numbered(name: str = "a.tar", count: int = 20, first: int = 0, **options: object) -> str:
        members = []
        for number in range(first, first + count):
            fields = {"cls": b"%d" % (number % 10), "json": b'{"width": %d}' % number, "jpg": bytes([number % 251]) * 100 * number}
            members += [(f"{number:04d}.{field}", data) for field, data in fields.items()]
        return write(name, members, **options)

    return numbered
