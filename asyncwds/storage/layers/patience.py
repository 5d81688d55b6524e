"""When to try again, and after how long: `Patience`, shared by all who ask the same hosts, and what it knows of a `Host`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar
from urllib.parse import urlsplit

from asyncwds.errors import FetchError, ThrottledError, redact
from asyncwds.formatting.texts import printable
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.recorder import READER
from asyncwds.settings.access import Retry
from asyncwds.storage.layers.notices import SLOW, Notices

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]
DOWN_AFTER = 3
"""Failures without an answer between them, after which a host counts as down: from then on one request at a time is made."""
UNSOUND_TRIES = 6
"""Requests for the same bytes of which the answers were no sound HTTP, after which no other is made."""
NO_ANSWER = 3.0  # [s] without an answer to that one, after which another may be made


@dataclass(slots=True)
class Streak:
    """Failures in a row of one body, or one call, and how many of them were unsound answers; `since` [s] is when the first of them
    was known.
    """

    failures: int = 0
    unsound: int = 0
    since: float | None = None

    def progressed(self) -> None:
        """The request that broke brought enough before: it counts as a success."""
        self.failures, self.unsound, self.since = -1, 0, None


@dataclass(slots=True, eq=False)
class Host:
    """`lull` [s]: failures that are farther apart have nothing to do with each other."""

    url: str = field(repr=False)  # one of those that it was asked for
    lull: float
    answered: bool = False  # ever
    failures: int = 0  # since it answered
    since: float = 0.0  # when the first of them was known
    knocks: int = 0  # of them, those made while it was down
    knock_at: float = 0.0  # when it may be asked again
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # what came of the request that was made; one for each
    _failed_at: float = 0.0
    _asked_until: float = 0.0

    @property
    def name(self) -> str:
        """As it may be shown."""
        return host_of(self.url)

    @property
    def is_down(self) -> bool:
        return self.failures >= DOWN_AFTER

    def answers(self) -> None:
        self.answered = True
        self.failures = self.knocks = 0
        self.settle()

    def fails(self, now: float) -> None:
        if now - self._failed_at > self.lull:
            self.failures = self.knocks = 0
        if not self.failures:
            self.since = now
        self._failed_at = now
        self.failures += 1
        self.knocks += self.is_down and now >= self.knock_at

    def put_off(self, now: float, due: float) -> None:
        """Not before `due` [s]; it is not put off again by those that failed at the same time."""
        if self.knock_at <= now:
            self.knock_at = due

    def knock(self, now: float) -> None:
        """A request is made that will tell."""
        self._asked_until = now + NO_ANSWER
        self.settled = asyncio.Event()

    def settle(self) -> None:
        self._asked_until = 0.0
        self.settled.set()

    def left_of_knock(self, now: float) -> float:
        """Seconds [s] to wait for what comes of a request that is under way; 0 if there is none."""
        return max(0.0, self._asked_until - now)


def host_of(url: str) -> str:
    """The server that a url names, or its bucket, as it may be shown."""
    parts = urlsplit(url)
    return printable(redact(f"{parts.scheme}://{parts.netloc}"))


class Patience:
    """Used on one event loop. `sleep` waits a number of seconds, `now` is a clock [s]."""

    def __init__(self, retry: Retry, counters: Counters, sleep: Sleep = asyncio.sleep, now: Clock = time.monotonic) -> None:
        self._retry = retry
        self._counters = counters
        self._sleep = sleep
        self._now = now
        self._hosts: dict[tuple[str, str], Host] = {}

    @cached_property
    def _notices(self) -> Notices:
        return Notices(self._now)

    def count_retried(self, nbytes: int) -> None:
        self._counters.retried += nbytes

    def is_progress(self, nbytes: int) -> bool:
        return nbytes >= max(1, self._retry.stall_bytes)

    def notice_slow_start(self, url: str) -> asyncio.TimerHandle | None:
        """Where a request should bring the first bytes of an iteration: a line is logged, unless the timer is cancelled before."""
        return None if self._counters.bytes else asyncio.get_running_loop().call_later(SLOW, self._look_at_start, url)

    async def call(self, url: str, step: Callable[[], Awaitable[T]], limit: float | None = None) -> T:
        """What `step`, a request, returns in the end. Raises as `again`."""
        try:
            return await self.first(url, step, limit)
        except FetchError as error:
            return await self.again(url, step, error, Streak(), limit)

    async def first(self, url: str, step: Callable[[], Awaitable[T]], limit: float | None = None) -> T:
        """What `step` returns the first time. It waits where the host is down and another request is to find out if it still is."""
        return await self._attempt(self._host(url), step, 0.0, self._patience(limit))

    async def again(
        self, url: str, step: Callable[[], Awaitable[T]], failed: FetchError, streak: Streak, limit: float | None = None
    ) -> T:
        """What `step` returns once it succeeds, after `failed`. It may take `limit` [s], if that is less than `Retry.patience`.

        Raises the last failure where waiting cannot help, or has lasted long enough.
        """
        host, patience = self._host(url), self._patience(limit)
        while True:
            left = self._count_failure(host, streak, failed, patience)
            self._counters.retries += 1
            pause = min(left, self._pause(host, streak, failed))
            now = self._now()
            host.put_off(now, now + pause)
            self._notices.again(host.name, pause, failed)
            if self._counters.trace is not None:
                self._counters.trace.mark(READER, "retry", host=host.name, error=str(failed), pause=pause)
            await self._sleep(pause)
            try:
                return await self._attempt(host, step, now + pause, patience)
            except FetchError as error:
                failed = error

    async def _attempt(self, host: Host, step: Callable[[], Awaitable[T]], reached: float, patience: float) -> T:
        knocks = host.is_down and await self._turn(host, reached, patience)
        try:
            result = await step()
        finally:
            if knocks:
                host.settle()
        self._answers(host)
        return result

    async def _turn(self, host: Host, reached: float, patience: float) -> bool:
        """Returns when a host that is down may be asked: True for the one request that is to find out whether it still is.

        The clock has come to `reached` at least.
        """
        while host.is_down and self._now() - host.since < patience:
            now = self._now()
            if left := host.left_of_knock(now):
                with suppress(TimeoutError):
                    await asyncio.wait_for(host.settled.wait(), left)
            elif host.knock_at > max(now, reached):
                reached = host.knock_at
                await self._sleep(reached - now)
            else:
                host.knock(now)
                return True
        return False

    def _count_failure(self, host: Host, streak: Streak, error: FetchError, patience: float) -> float:
        """Counts one more failure: the seconds [s] left for another attempt. Raises it where there is to be none."""
        error.attempts = max(1, streak.failures + 1)
        if not error.retryable:
            self._answers(host)
            raise error
        now = self._now()
        streak.failures += 1
        streak.unsound += error.unsound
        streak.since = now if streak.since is None else streak.since
        self._fails(host, error, now)
        if error.retry_for is not None and not host.answered:
            patience = min(patience, error.retry_for)
        error.waited = now - (min(streak.since, host.since) if host.is_down else streak.since)
        used_up = self._retry.tries is not None and streak.failures >= self._retry.tries
        if used_up or streak.unsound >= UNSOUND_TRIES or error.waited >= patience:
            self._notices.over(host.name, error)
            raise error
        self._notices.waiting(host.name, error.waited, patience, error)
        return patience - error.waited

    def _pause(self, host: Host, streak: Streak, error: FetchError) -> float:
        """Random up to a bound that doubles, so that those who failed together don't return together; after any Retry-After [s]."""
        doublings = min(30, max(0, streak.failures - 1, host.knocks if host.is_down else 0))
        bound = min(self._retry.backoff_max, self._retry.backoff * 2**doublings)
        return min(error.retry_after or 0.0, self._retry.retry_after_max) + random.uniform(0.0, bound)  # noqa: S311 - no secret

    def _patience(self, limit: float | None) -> float:
        return self._retry.patience if limit is None else min(limit, self._retry.patience)

    def _answers(self, host: Host) -> None:
        if host.is_down:
            self._notices.back(host.name, self._now() - host.since)
        if self._counters.waiting_for is not None and self._counters.waiting_for == host.name:
            self._counters.waiting_for = None
        if host.failures or not host.answered:
            host.answers()

    def _fails(self, host: Host, error: FetchError, now: float) -> None:
        if isinstance(error, ThrottledError) or error.unsound:  # which is an answer
            self._answers(host)
            return
        host.fails(now)
        if host.is_down:
            self._counters.waiting_for, self._counters.waiting_since = host.name, host.since

    def _look_at_start(self, url: str) -> None:
        if not self._counters.bytes and not self._host(url).is_down:  # of which more is said elsewhere
            self._notices.slow_start(host_of(url))

    def _host(self, url: str) -> Host:
        parts = urlsplit(url)
        key = parts.scheme, parts.netloc
        if key not in self._hosts:
            retry = self._retry
            longest = retry.retry_after_max + retry.backoff_max + retry.connect_timeout + retry.stall_timeout
            self._hosts[key] = Host(url, longest)
        return self._hosts[key]
