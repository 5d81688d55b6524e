"""Runs a cache's blocking calls, and counts what fails: whether the cache can still be used."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asyncwds.errors import CacheError, WdsError
from asyncwds.formatting.texts import printable
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.counters import Counters

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8
"""As many as `FileFetcher` has, for the same reason."""

_PAUSE = 0.002  # [s] between two tries to lock the folder, which is locked for some hundred microseconds each time


class CacheThreads:
    """`patience` [s] is how long a file that others have locked is waited for."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._pool = BlockingPool("cache", THREADS)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns. Raises CacheError for its OSErrors.

        It always runs to its end, also where this is cancelled: what it opens or locks must not be lost.
        """
        try:
            return await self._pool.run_to_end(function, *args, **kwargs)
        except (WdsError, BlockingIOError):
            raise
        except OSError as error:
            raise CacheError(f"the cache cannot be used: {error}") from error

    async def run_locked(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a function that raises BlockingIOError while another process has locked a file it needs."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            try:
                return await self.run(function, *args, **kwargs)
            except BlockingIOError as error:
                if loop.time() > deadline:
                    message = f"another process has kept the cache locked for {self._patience:g} s"
                    raise CacheError(message) from error
            await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        self._pool.close()


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
