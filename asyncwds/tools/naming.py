"""What the outputs for a shard of the inputs are called."""

from __future__ import annotations

import re
from typing import NamedTuple

from asyncwds.shards.urls import local_path

_SUFFIX = re.compile(r"\.(?:tar(?:\.\w+)?|tgz|tbz2?|txz|tzst|tlz4)$", re.IGNORECASE)


class InputShard(NamedTuple):
    """One of the shards that a tool reads: its number among those of all parts, and its url."""

    number: int
    url: str

    @property
    def name(self) -> str:
        """Of its file, without what says that it is an archive."""
        path = self.url if local_path(self.url) is not None else self.url.partition("?")[0]
        name = path.rpartition("/")[2]
        return _SUFFIX.sub("", name)
