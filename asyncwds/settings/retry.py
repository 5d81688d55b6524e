"""When a request has failed, and how often it is made again."""

from __future__ import annotations

from dataclasses import dataclass

from asyncwds import checks


@dataclass(frozen=True, slots=True)
class Retry:
    """When a request counts as failed and how often it is made again, going on at the byte reached.

    patience          time [s] in which next to nothing comes, before giving up; shared by all requests to a host
    tries             as a further bound, requests in a row that bring fewer than `stall_bytes`; None is no such bound
    backoff           first pause [s]; doubles, with full jitter, up to `backoff_max` [s]
    retry_after_max   a server's Retry-After is obeyed up to this [s]
    connect_timeout   to connect, TLS included [s]
    stall_timeout     without at least `stall_bytes` [bytes] in this time [s], a connection counts as stalled
    hedge             ask a second time on a new connection when the first byte is later than this quantile of those seen, or
                      than a second while few were seen; None never. At most `hedge_extra` of all requests are such second
                      ones, and four; restarts of stalled parts count too. 0 is none.
    """

    tries: int | None = None
    backoff: float = 0.1
    backoff_max: float = 5.0
    retry_after_max: float = 30.0
    connect_timeout: float = 5.0
    stall_timeout: float = 20.0
    stall_bytes: int = 1024
    hedge: float | None = 0.95
    hedge_extra: float = 0.05
    patience: float = 300.0

    def __post_init__(self) -> None:
        if self.tries is not None:
            checks.whole_fields(self, 1, "tries")
        for name in ("backoff", "backoff_max", "retry_after_max", "patience"):
            checks.real(f"Retry: {name}", getattr(self, name), 0)
        for name in ("connect_timeout", "stall_timeout"):
            checks.real(f"Retry: {name}", getattr(self, name), above=0)
        checks.whole_fields(self, 0, "stall_bytes")
        if self.hedge is not None:
            checks.real("Retry: hedge, if it is not None,", self.hedge, above=0, most=1)
            checks.require(self.hedge < 1, f"hedge must be None or between 0 and 1: {self.hedge!r}")
        checks.real("Retry: hedge_extra", self.hedge_extra, 0, 1)
