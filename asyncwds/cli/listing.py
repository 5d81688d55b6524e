"""The samples of shards with the sizes of their fields, and what was counted meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

from asyncwds.cli.reading import Sources, dataset
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.stats import Stats
from asyncwds.tools.ls import Listed
from asyncwds.tools.ls import list_samples as list_by_headers


def list_samples(
    urls: tuple[str, ...], sources: Sources, *, limit: int | None = None, with_offsets: bool = False
) -> tuple[Iterator[Listed], Callable[[], Stats]]:
    """The samples, and what was counted meanwhile. What a cache shall keep is read whole, unless offsets are wanted."""
    if sources.cache is not None and not with_offsets:
        samples = dataset(urls, sources)
        return _read(iter(samples), limit), samples.stats
    counters = Counters()
    return list_by_headers(urls, sources.access, counters, limit=limit), counters.snapshot


def _read(samples: Iterator[dict[str, Any]], limit: int | None) -> Iterator[Listed]:
    with closing(samples):  # type: ignore[type-var]
        for sample in islice(samples, limit):
            sizes = {name: len(value) for name, value in sample.items() if not name.startswith("__")}
            yield Listed(sample["__url__"], sample["__key__"], sizes, {})
