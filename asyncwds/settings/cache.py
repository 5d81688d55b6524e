"""Where shards are kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from asyncwds import checks


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
