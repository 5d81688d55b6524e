"""Whether a cache can still be used."""

from __future__ import annotations

import warnings

from asyncwds.errors import CacheError
from asyncwds.formatting.escaping import printable
from asyncwds.runtime.counters import Counters


class Health:
    """Counts what fails, and warns once: reading goes on all the same."""

    def __init__(self, counters: Counters, folder: str) -> None:
        self.writable = True
        """Nothing lasting has failed."""
        self._counters = counters
        self._folder = folder
        self._warned = False

    def failed(self, error: CacheError, *, lasting: bool = True) -> None:
        """`lasting` is what would come again with the next shard, such as a full disk."""
        self._counters.cache_failures += 1
        self.writable = self.writable and not lasting
        if not self._warned:
            self._warned = True
            warnings.warn(printable(f"reading goes on without the cache in {self._folder}: {error}"), stacklevel=2)

    def damaged(self) -> None:
        """Something in it was not what it had been."""
        self._counters.cache_failures += 1
