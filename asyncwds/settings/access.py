"""How urls are opened: `Http`, `Retry` and the settings of buckets, as users give them; in one value: `Access`.

Settings of stores take one of several ways to give credentials; what is left out comes from the vendor's own environment variables
and files. Secrets are not shown by `repr`, and settings that hold some refuse to be pickled, so that they end up in no file: for
other processes put them into the environment, or give a function that finds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from asyncwds import checks
from asyncwds.errors import SpecError


@dataclass(frozen=True, slots=True)
class Http:
    """How HTTP requests are made, to web servers and to buckets.

    headers      URL prefix → headers; sent to URLs that begin with the prefix, on redirects too, and to no others
    proxy        URL of a proxy; None takes HTTP_PROXY, HTTPS_PROXY and NO_PROXY where `trust_env`
    trust_env    read proxies and ~/.netrc from the environment
    verify       False accepts any certificate
    ca_file      certificates (PEM) to trust instead of the system's
    client_cert  (certificate, key) files (PEM) to show to the server
    connections_per_host   requests at once to one host and port, the one behind all redirects, uploads that are still being
                           written not counted; None is no limit
    requests_per_second    new requests of one iterator in a second, to all hosts together; None is no limit
    """

    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    proxy: str | None = field(default=None, repr=False)
    trust_env: bool = True
    verify: bool = True
    ca_file: str | None = None
    client_cert: tuple[str, str] | None = None
    connections_per_host: int | None = None
    requests_per_second: float | None = None

    def __post_init__(self) -> None:
        if self.connections_per_host is not None:
            checks.whole_fields(self, 1, "connections_per_host")
        if self.requests_per_second is not None:
            checks.real("Http: requests_per_second, if it is not None,", self.requests_per_second, above=0)
        checks.mapping("Http: headers", self.headers)
        for prefix, headers in self.headers.items():
            checks.mapping(f"Http: headers[{prefix!r}]", headers)
        checks.texts(self, "proxy")
        checks.path("Http: ca_file", self.ca_file, optional=True)
        checks.flags(self, "trust_env", "verify")
        if self.client_cert is not None:
            checks.paths("Http: client_cert, if it is not None,", self.client_cert, 2)


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


class Settings(Protocol):
    """Settings of a store: `S3`, `GCS`, `Azure`, `HuggingFace`, `AIStore`, `FileSystem`, `Command`, another package's dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Storage = Mapping[str, Settings]
"""URL prefix → settings for the urls that begin with it; the longest one counts."""


@dataclass(frozen=True, slots=True)
class Access:
    """How urls are opened, for reading, writing and listing."""

    http: Http = field(default_factory=Http)
    retry: Retry = field(default_factory=Retry)
    storage: Storage = field(default_factory=dict)


Expiring = tuple[str, float]
"""A token and its end [s since 1970]."""


def check_settings(settings: Any, *names: str) -> None:
    """Of the named ones, which are functions (`get_`), flags (`anonymous`) and text, one can be given."""
    for name in names:
        label = f"{type(settings).__name__}: {name}"
        if name.startswith("get_"):
            checks.function(label, getattr(settings, name), optional=True, takes=0)
        elif name == "anonymous":
            checks.flag(label, settings.anonymous)
        elif name == "credentials_file":
            checks.path(label, settings.credentials_file, optional=True)
        else:
            checks.text(label, getattr(settings, name), optional=True)
    if hasattr(settings, "endpoint"):
        checks.texts(settings, "endpoint")
    if getattr(settings, "endpoint", None) is not None and "@" in urlsplit(settings.endpoint).netloc:
        raise SpecError(f"{type(settings).__name__}: an endpoint has no user and password in it", url=settings.endpoint)
    given = [name for name in names if getattr(settings, name) not in (None, False)]
    if len(given) > 1:
        raise SpecError(f"{type(settings).__name__}: only one of {' and '.join(given)} can be given")


def pickle_without(settings: Any, *secrets: str) -> tuple[Any, ...]:
    for name in secrets:
        if getattr(settings, name):
            raise SpecError(
                f"{type(settings).__name__}({name}=...) is not pickled, so that it ends up in no file; for other processes put it "
                "into the environment, or give a function that finds it"
            )
    return type(settings), tuple(getattr(settings, entry.name) for entry in fields(settings))
