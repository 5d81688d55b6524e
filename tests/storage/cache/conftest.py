from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncwds import Cache
from asyncwds.runtime import Counters
from asyncwds.storage import CachingFetcher, MemoryFetcher
from asyncwds.testing import leaks, make_samples, make_shard

URL = "memory://host/a.tar"
SHARD = make_shard(make_samples(40, size=100_000, fields=["bin"]))  # 4 MB


class Caches:
    """Fetchers around one source, in one folder, as so many processes or epochs have them."""

    url, shard = URL, SHARD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, bytes] = {URL: SHARD}
        self.opened: list[CachingFetcher] = []

    def new(
        self, source: MemoryFetcher | dict[str, Any] | None = None, *, patience: float = 20.0, validator=lambda path: True, **cache
    ) -> CachingFetcher:
        self.counters = Counters()  # of the latest
        cached = CachingFetcher(
            source if isinstance(source, MemoryFetcher) else self.source(counters=self.counters, **(source or {})),
            Cache(self.folder, **cache),
            self.counters,
            patience=patience,
            validator=validator,
        )
        self.opened.append(cached)
        return cached

    def source(self, **options) -> MemoryFetcher:
        return MemoryFetcher(self.objects, **options)

    def file(self) -> Path:
        """The only shard that is kept."""
        [path] = self.files()
        return path

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file() and ".asyncwds" not in path.parts]

    def index(self) -> list[str]:
        """Names of the cache's own files, but for the two that are always there."""
        return sorted(path.name for path in (self.folder / ".asyncwds").iterdir() if path.name not in ("lock", "clock"))


@pytest.fixture
async def caches(tmp_path: Path) -> AsyncIterator[Caches]:
    async with leaks():
        made = Caches(tmp_path / "cache")
        yield made
        for cached in made.opened:
            await cached.aclose()
