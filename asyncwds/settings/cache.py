"""Where shards are kept: `Cache`, and what WebDataset's arguments and environment variables for it stand for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from asyncwds import checks
from asyncwds.errors import SpecError


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
