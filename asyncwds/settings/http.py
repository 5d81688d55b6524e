"""How HTTP requests are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncwds import checks


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
