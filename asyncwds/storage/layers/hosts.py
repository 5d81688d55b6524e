"""Whether a host answers, as far as those know who ask it: `Host`. Plain state, fed with the time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from asyncwds.errors import redact
from asyncwds.formatting.escaping import printable

DOWN_AFTER = 3
"""Failures without an answer between them, after which a host counts as down: from then on one request at a time is made."""
NO_ANSWER = 3.0  # [s] without an answer to that one, after which another may be made


@dataclass(slots=True, eq=False)
class Host:
    """`lull` [s]: failures that are farther apart have nothing to do with each other."""

    name: str
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


@lru_cache(maxsize=1024)
def host_of(url: str) -> str:
    """The server that a url names, or its bucket, as it may be shown."""
    parts = urlsplit(url)
    return printable(redact(f"{parts.scheme}://{parts.netloc}"))
