"""Plain data that the layers above share. No I/O, no behaviour beyond checks of the values."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from asyncwds import checks
from asyncwds.errors import redact
from asyncwds.reprs import html_table, show_value

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30

MAX_HEADER_BYTES = 16 * MiB
SHOWN_FIELDS = 20  # of a sample, in its repr


class Origin(NamedTuple):
    """Where a sample came from: index of the shard in the url list, ordinal in that shard, offset [bytes] of its first header."""

    shard: int
    ordinal: int
    offset: int


class Sample(dict[str, Any]):
    """A sample: `__key__`, `__url__`, perhaps `__local_path__`, then field name → bytes or decoded value.

    Outside the mapping it knows its `origin`. Stages that build new dicts (as `map` with a function that returns
    one) lose it, as they lose everything that they don't copy.
    """

    # The tuple is turned into an Origin only when asked for: making a NamedTuple costs 180 ns a sample, a tuple 30 ns.
    __slots__ = ("_origin",)
    _origin: tuple[int, int, int]

    @property
    def origin(self) -> Origin:
        return Origin(*self._origin)

    def copy(self) -> Sample:
        """A shallow copy that keeps the origin."""
        copied = Sample(self)
        with_origin = getattr(self, "_origin", None)
        if with_origin is not None:
            copied._origin = with_origin
        return copied

    def __repr__(self) -> str:
        """Sizes and types in place of payloads; `dict(sample)` prints them all."""
        fields = [f"{name!r}: {show_value(value)}" for name, value in self._shown().items()]
        more = [f"… {len(self) - SHOWN_FIELDS} more"] if len(self) > SHOWN_FIELDS else []
        return f"Sample({{{', '.join(fields + more)}}})"

    def _repr_html_(self) -> str:
        return html_table(self._shown())

    def _shown(self) -> dict[str, Any]:
        """The first fields, the url without its secrets."""
        return {name: redact(self[name]) if name == "__url__" else self[name] for name in list(self)[:SHOWN_FIELDS]}


def whereabouts(sample: Any) -> dict[str, Any]:
    """What a sample tells about where it came from, as arguments for an error: url, offset [bytes], key."""
    known: dict[str, Any] = {}
    if isinstance(sample, Mapping):
        known = {name: str(sample[f"__{name}__"]) for name in ("url", "key") if f"__{name}__" in sample}
    if isinstance(sample, Sample) and hasattr(sample, "_origin"):
        known["offset"] = sample.origin.offset
    return known


def misplaced(sample: Any) -> str | None:
    """In words, what a stage for samples was given in place of one because stages stand in a wrong order; None for a sample."""
    if not isinstance(sample, Mapping):
        return f"not {type(sample).__name__}; it belongs before to_tuple and batched"
    if "url" in sample and sample.keys() <= {"url", "stream", "local_path"}:
        return "not urls of shards; tarfile_to_samples() belongs before it"
    if {"fname", "data"} <= sample.keys() and "__key__" not in sample:
        return "not files of archives; group_by_keys() belongs before it"
    return None


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar archive to read; `index` is its position in the full list of urls, before any split or shuffle."""

    url: str
    index: int


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of the data this process reads: read anew when an iteration starts."""

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    num_workers: int = 1


@dataclass(frozen=True, slots=True)
class Prefetch:
    """How far the engine reads ahead.

    connections         requests in flight over all shards; "auto" adapts to the link and the consumer
    buffer_bytes        bound [bytes] of everything fetched or reserved, and of samples that the consumer is not done with; where
                        two samples take more than three quarters of it, those and a quarter
    part_bytes          size [bytes] of one range request; "auto" is 8 MiB, less where the buffer is small
    interleave          shards read in rotation, `interleave_samples` samples each turn
    order               "plan": what is yielded never depends on timing; "arrival": samples as they come, fastest with stragglers
    max_member_bytes    a member that declares more [bytes] than this, its holes included, is refused before memory is taken
    max_header_bytes    and so is a header that extends another (PAX records, a long name)
    uvloop              run the engine's own loop on uvloop (the extra `uvloop`)
    """

    connections: int | Literal["auto"] = "auto"
    buffer_bytes: int = 256 * MiB
    part_bytes: int | Literal["auto"] = "auto"
    interleave: int = 1
    interleave_samples: int = 16
    order: Literal["plan", "arrival"] = "plan"
    max_member_bytes: int = 4 * GiB
    max_header_bytes: int = MAX_HEADER_BYTES
    uvloop: bool = False

    def __post_init__(self) -> None:
        for name in ("connections", "part_bytes"):
            if not isinstance(getattr(self, name), str):
                checks.whole_fields(self, 1, name)
            else:
                checks.one_of(f"Prefetch: {name}, if it is no whole number,", getattr(self, name), ("auto",))
        checks.whole_fields(self, 1, "buffer_bytes", "interleave", "interleave_samples")
        checks.whole_fields(self, 0, "max_member_bytes", "max_header_bytes")
        checks.one_of("Prefetch: order", self.order, ("plan", "arrival"))
        checks.flags(self, "uvloop")
        # Sources without ranges hold a connection for as long as their shard is open: fewer connections than shards
        # in rotation could never make progress.
        checks.require(
            self.connections == "auto" or self.connections >= self.interleave,
            f"interleave={self.interleave} needs at least as many connections, not {self.connections}",
        )

    def part_size(self) -> int:
        """Bytes of one range request."""
        if self.part_bytes != "auto":
            return self.part_bytes
        return max(256 * KiB, min(8 * MiB, self.buffer_bytes // 32))


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
                      ones, and four of the first; 0 is none.
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


@dataclass(frozen=True, slots=True)
class Http:
    """How HTTP requests are made, to web servers and to buckets.

    headers      URL prefix → headers; sent to URLs that begin with the prefix, on redirects too, and to no others
    proxy        URL of a proxy; None takes HTTP_PROXY, HTTPS_PROXY and NO_PROXY where `trust_env`
    trust_env    read proxies and ~/.netrc from the environment
    verify       False accepts any certificate
    ca_file      certificates (PEM) to trust instead of the system's
    client_cert  (certificate, key) files (PEM) to show to the server
    connections_per_host   requests at once to one host and port, the one behind all redirects; None is no limit
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


def as_settings(http: Http | None, retry: Retry | None) -> tuple[Http, Retry]:
    """Those that are given, or the defaults. Raises SpecError for anything else."""
    checks.instance("http", http, Http, optional=True)
    checks.instance("retry", retry, Retry, optional=True)
    return http or Http(), retry or Retry()
