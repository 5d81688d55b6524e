"""How a dataset reads: how far ahead, which shards are kept, and what is accounted for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.units import GiB, KiB, MiB

MAX_HEADER_BYTES = 16 * MiB


@dataclass(frozen=True, slots=True)
class Prefetch:
    """How far the engine reads ahead.

    connections         requests in flight over all shards; "auto" adapts to the link and the consumer
    buffer_bytes        bound [bytes] of everything fetched or reserved, and of samples that the consumer is not done with; where
                        two samples take more than three quarters of it, those and a quarter
    part_bytes          size [bytes] of one range request; "auto" is 1 MiB near the reader and up to 8 MiB behind
                        that, or behind the first of a shard where there is a single connection; less where the buffer is
                        small or connections are many
    interleave          shards read in rotation, `interleave_samples` samples each turn
    order               "plan": what is yielded never depends on timing; "arrival": samples as they come, fastest with stragglers
    max_member_bytes    a member that declares more [bytes] than this, its holes included, is refused before memory is taken
    max_header_bytes    and so is a header that extends another (PAX records, a long name)
    uvloop              run the engine's own loop on uvloop (the extra `uvloop`)
    """

    connections: int | Literal["auto"] = "auto"
    buffer_bytes: int = 256 * MiB
    part_bytes: int | Literal["auto"] = "auto"
    interleave: int = 1
    interleave_samples: int = 16
    order: Literal["plan", "arrival"] = "plan"
    max_member_bytes: int = 4 * GiB
    max_header_bytes: int = MAX_HEADER_BYTES
    uvloop: bool = False

    def __post_init__(self) -> None:
        for name in ("connections", "part_bytes"):
            if not isinstance(getattr(self, name), str):
                checks.whole_fields(self, 1, name)
            else:
                checks.one_of(f"Prefetch: {name}, if it is no whole number,", getattr(self, name), ("auto",))
        checks.whole_fields(self, 1, "buffer_bytes", "interleave", "interleave_samples")
        checks.whole_fields(self, 0, "max_member_bytes", "max_header_bytes")
        checks.one_of("Prefetch: order", self.order, ("plan", "arrival"))
        checks.flags(self, "uvloop")
        # Sources without ranges hold a connection for as long as their shard is open: fewer connections than shards
        # in rotation could never make progress.
        checks.require(
            self.connections == "auto" or self.connections >= self.interleave,
            f"interleave={self.interleave} needs at least as many connections, not {self.connections}",
        )

    def part_size(self) -> int:
        """Bytes of one range request."""
        if self.part_bytes != "auto":
            return self.part_bytes
        return max(256 * KiB, min(8 * MiB, self.buffer_bytes // 32))

    def least_part(self) -> int:
        """Bytes of the first range requests."""
        return self.part_size() if self.part_bytes != "auto" else max(256 * KiB, self.part_size() // 8)


def as_prefetch(prefetch: int | Literal["auto"] | Prefetch | None) -> Prefetch:
    """`16` is short for `Prefetch(connections=16)`."""
    if prefetch is None:
        return Prefetch()
    return prefetch if isinstance(prefetch, Prefetch) else Prefetch(connections=prefetch)


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder that keeps shards from elsewhere, shared by all processes that name it.

    dir           made when it is needed first; `~` is the home directory
    size          bound [bytes]: the shards that were not used for longest make room for new ones; None is without bound
    url_to_name   URL → name of the file in `dir`, in place of the last part of the URL with a hash of all of it
    revalidate    ask the source, once an iteration, whether a shard that is kept is still the same
    checksums     keep a checksum of each MiB of a shard and compare it whenever that is read
    verbose       a line on stderr for each shard that is kept or removed
    local         keep local files too: for those on a network disk; `url_to_name` gets their absolute paths
    """

    dir: str | os.PathLike[str]
    size: int | None = None
    url_to_name: Callable[[str], str] | None = None
    revalidate: bool = False
    checksums: bool = False
    verbose: bool = False
    local: bool = False

    def __post_init__(self) -> None:
        checks.path("Cache: dir", self.dir)
        if self.size is not None:
            checks.real("Cache: size, if it is not None,", self.size, above=0)
        checks.function("Cache: url_to_name", self.url_to_name, optional=True, takes=1)
        checks.flags(self, "revalidate", "checksums", "verbose", "local")


def cache_settings(
    cache_dir: str | os.PathLike[str] | None = None,
    cache_size: float = -1,
    url_to_name: Callable[[str], str] | None = None,
) -> Cache | None:
    """What `WebDataset(cache_dir=, cache_size=, url_to_name=)` stands for; None is no cache.

    Without `cache_dir` $WDS_CACHE is taken, and with a negative `cache_size` [bytes] $WDS_CACHE_SIZE, which may be
    written as 1e12; if that is unset too there is no bound. A `cache_size` of 0 is no cache. $WDS_VERBOSE_CACHE=1
    makes it verbose. Raises SpecError for a variable that is no number.
    """
    return cache_of(*cache_arguments(cache_dir, cache_size), url_to_name)


def cache_of(folder: str | os.PathLike[str] | None, size: float, url_to_name: Callable[[str], str] | None = None) -> Cache | None:
    """The same for what `cache_arguments` gives."""
    if not folder or size == 0:
        return None
    bound = int(size) if isfinite(size) and size > 0 else None
    return Cache(folder, bound, url_to_name, verbose=bool(_number("WDS_VERBOSE_CACHE", 0)))


def cache_arguments(cache_dir: str | os.PathLike[str] | None, cache_size: float) -> tuple[str | os.PathLike[str] | None, float]:
    """The two, from the environment where they are not given."""
    folder = cache_dir or os.environ.get("WDS_CACHE")
    return folder, cache_size if cache_size >= 0 else _number("WDS_CACHE_SIZE", -1)


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    try:
        return float(text) if text else default
    except ValueError:
        raise SpecError(f"the environment variable {variable} must be a number, not {text!r}") from None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Follows the samples of each item that a dataset gives, one by one, so that its report knows what was delivered.

    path     a file to which it is appended which samples were in which item, for `read_ledger` and `replay`. Each rank and worker
             has its own: `steps.rank1.worker0.jsonl` for `steps.jsonl`
    strict   at the end of an epoch that does not add up an IncompleteEpochError is raised: samples are missing, of shards or of
             what went into the stages, of which no handler was asked and that no stage left out
    """

    path: str | os.PathLike[str] | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        checks.path("Ledger: path", self.path, optional=True)
        checks.flags(self, "strict")


def as_ledger(given: str | os.PathLike[str] | Ledger | None) -> Ledger | None:
    """A path is short for `Ledger(path)`."""
    return given if given is None or isinstance(given, Ledger) else Ledger(given)
