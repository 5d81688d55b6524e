"""What is logged of requests that fail: a line now and then, however many fail."""

from __future__ import annotations

import logging
from collections.abc import Callable

from asyncwds.errors import FetchError, ThrottledError
from asyncwds.formatting.texts import printable

_LOG = logging.getLogger("asyncwds")
SLOW = 3.0  # [s] without a byte that are worth a line
_INFO_EVERY = 10.0  # [s] between two lines of a kind about one host
_LONGEST = 60.0  # [s] between two lines about an outage


class Notices:
    """Lines about hosts, one of a kind now and then; the next one says how many were left out. `now` is a clock [s]."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # kind and host: when, and how many were left out since

    def again(self, host: str, pause: float, error: FetchError) -> None:
        """A request is made again after `pause` [s]."""
        if isinstance(error, ThrottledError):
            if (more := self._due("throttled", host, _INFO_EVERY)) is not None:
                _LOG.warning(
                    "%s asks for fewer requests: %s; trying again in %.1f s%s", host, printable(error.message), pause, more
                )
        elif (more := self._due("again", host, _INFO_EVERY)) is not None:
            _LOG.info("trying again in %.1f s: %s%s", pause, error, more)

    def waiting(self, host: str, waited: float, patience: float, error: FetchError) -> None:
        """Nothing has come for `waited` of at most `patience` [s]."""
        if waited < SLOW:
            return
        if (more := self._due("waiting", host, min(_LONGEST, max(SLOW, waited / 2)))) is not None:
            what = printable(error.message)
            _LOG.warning("nothing from %s for %.0f s, giving up after %.0f s: %s%s", host, waited, patience, what, more)

    def back(self, host: str, waited: float) -> None:
        if self._due("back", host, _INFO_EVERY) is not None:
            _LOG.info("%s answers again, after %.1f s", host, waited)

    def over(self, host: str, error: FetchError) -> None:
        if (more := self._due("over", host, _INFO_EVERY)) is not None:
            _LOG.warning("giving up: %s%s", error, more)

    def slow_start(self, host: str) -> None:
        if self._due("slow start", host, _LONGEST) is not None:
            _LOG.warning("nothing has come from %s yet, after %.0f s", host, SLOW)

    def _due(self, kind: str, host: str, every: float) -> str | None:
        """What to add about lines that were left out, if one is due; None if not."""
        now = self._now()
        said, left_out = self._said.get((kind, host), (None, 0))
        if said is not None and now - said < every:
            self._said[kind, host] = said, left_out + 1
            return None
        self._said[kind, host] = now, 0
        return f" (and {left_out} more of this kind)" if left_out else ""
