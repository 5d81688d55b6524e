"""Which fetcher reads which url: that of its scheme, with the layers around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from asyncwds.errors import SpecError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.security import why_refused
from asyncwds.settings.access import Access, Retry
from asyncwds.shards.urls import rewritten, scheme_of
from asyncwds.storage.base import AcceptsHints, Body, Fetcher, ObjectRange
from asyncwds.storage.callable_sources import Opener, OpenerFetcher
from asyncwds.storage.fsspec.scheme import why_not
from asyncwds.storage.layers.checksums import ChecksumFetcher, StatedChecksums, StatesChecksums
from asyncwds.storage.layers.hedge import Hedged
from asyncwds.storage.layers.retry import Retrying
from asyncwds.storage.scheme import Layers, Scheme
from asyncwds.storage.schemes import SchemeMatch, find, known_names, scheme_named

EVERY = "*"
"""In place of a scheme: all urls but those of local files and of standard input."""


@dataclass(frozen=True)
class Openers:
    """Functions by scheme: `first` go before the library's own sources, `last` are for schemes that these do not know.

    Before all others comes what `first` has as `EVERY`, after `last` what it has as `__default__`.
    """

    first: Mapping[str, Opener] = field(default_factory=dict)
    last: Mapping[str, Opener] = field(default_factory=dict)

    def find(self, scheme: str) -> Opener | None:
        """The function for a scheme; None where that is for the library's own source, or nobody has one."""
        if EVERY in self.first and scheme not in {"file", "-"}:
            return self.first[EVERY]
        if scheme in self.first:
            return self.first[scheme]
        return None if knows(scheme) else self.last.get(scheme, self.first.get("__default__"))


def open_storage(access: Access, counters: Counters, openers: Openers | None = None) -> Fetcher:
    """A fetcher for all urls that the library knows: those of buckets, http:, https:, file:, pipe:, plain paths, - for stdin, and
    those of schemes that were added.

    For others, opening raises SpecError; so it does for local files and pipes where the environment has WDS_SECURE=1, and
    where the library of a bucket's vendor is not installed. With `openers`, which are asked then, it first rewrites urls as
    $GOPEN_REWRITE says.
    """
    return _Storage(access, counters, openers)


def knows(scheme: str) -> bool:
    """Whether there is a fetcher for a scheme: see `asyncwds.shards.urls.scheme_of`."""
    return scheme_named(scheme) is not None


class _Reader(NamedTuple):
    """What the scheme's record made, and with layers around it."""

    bare: Fetcher
    fetcher: Fetcher


class _Latest(NamedTuple):
    """The url that was opened last, and what opens it; without a scheme it is a function of users."""

    url: str
    scheme: str | None
    fetcher: Fetcher


class _Storage:
    """Makes the fetcher for a scheme and its settings when the first such url is opened, and closes them all."""

    def __init__(self, access: Access, counters: Counters, openers: Openers | None) -> None:
        self._access = access
        self._counters = counters
        self._openers = openers
        self._readers: dict[tuple[Scheme, int], _Reader] = {}
        self._by_openers: dict[int, OpenerFetcher] = {}
        self._latest: _Latest | None = None  # parts of one shard come one after another

    def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AbstractAsyncContextManager[Body]:
        url, latest = self._rewritten(wanted.url), self._latest
        if latest is None or latest.url != url:
            latest = self._latest = self._look_up(url)
        elif latest.scheme is not None:  # the environment may say it between two requests
            _require_allowed(latest.scheme, url)
        return latest.fetcher.open(wanted if url == wanted.url else replace(wanted, url=url), buffer=buffer)

    def foresees(self, url: str) -> bool:
        """As `asyncwds.storage.base.AcceptsHints`."""
        url = self._rewritten(url)
        return (hinted := self._hinted(url)) is not None and hinted.foresees(url)

    def upcoming(self, urls: Sequence[str]) -> None:
        """As `asyncwds.storage.base.AcceptsHints`."""
        by_reader: dict[AcceptsHints, list[str]] = {}
        for url in map(self._rewritten, urls):
            if (hinted := self._hinted(url)) is not None and hinted.foresees(url):
                by_reader.setdefault(hinted, []).append(url)
        for hinted, its_urls in by_reader.items():
            hinted.upcoming(its_urls)

    async def aclose(self) -> None:
        async with AsyncExitStack() as all_of_them:
            for fetcher in (*self._by_openers.values(), *(reader.fetcher for reader in self._readers.values())):
                all_of_them.push_async_callback(fetcher.aclose)

    def _rewritten(self, url: str) -> str:
        return url if self._openers is None else rewritten(url)

    def _look_up(self, url: str) -> _Latest:
        scheme = scheme_of(url)
        if opener := self._opener(scheme):
            return _Latest(url, None, self._opened_by(opener))
        _require_allowed(scheme, url)
        match = find(url, self._access.storage)
        if match is None:
            raise SpecError(f"no storage for {scheme}: urls; there is {known_names()}{why_not(scheme)}", url=url)
        return _Latest(url, scheme, self._reader(match).fetcher)

    def _opener(self, scheme: str) -> Opener | None:
        return None if self._openers is None else self._openers.find(scheme)

    def _opened_by(self, opener: Opener) -> Fetcher:
        if id(opener) not in self._by_openers:
            self._by_openers[id(opener)] = OpenerFetcher(opener, self._counters)
        return self._by_openers[id(opener)]

    def _hinted(self, url: str) -> AcceptsHints | None:
        """The bare fetcher for a url, if it wants to know what comes."""
        scheme = scheme_of(url)
        match = None if self._opener(scheme) else find(url, self._access.storage)
        if match is None or not match.scheme.layers(match.settings).hints or why_refused(scheme):
            return None
        bare = self._reader(match).bare
        assert isinstance(bare, AcceptsHints)
        return bare

    def _reader(self, match: SchemeMatch) -> _Reader:
        key = match.key
        if key not in self._readers:
            bare = match.scheme.reader(match.settings, self._access, self._counters)
            layers = match.scheme.layers(match.settings)
            self._readers[key] = _Reader(bare, _compose(bare, layers, self._access.retry, self._counters))
        return self._readers[key]


def _require_allowed(scheme: str, url: str) -> None:
    if reason := why_refused(scheme):
        raise SpecError(f"{scheme}: urls are not opened, because {reason}", url=url)


def _compose(bare: Fetcher, layers: Layers, retry: Retry, counters: Counters) -> Fetcher:
    """The layers around a store's fetcher, as its `Scheme` says. Raises SpecError for those that the fetcher is not made for."""
    fetcher = bare
    if layers.hedge:
        fetcher = Hedged(fetcher, retry, counters)
    if layers.retry:
        fetcher = Retrying(fetcher, retry, counters)
    if layers.checksum is not None:
        fetcher = ChecksumFetcher(fetcher, whole=layers.checksum == "required")
    if layers.stated_checksums:
        if not isinstance(bare, StatesChecksums):
            raise SpecError(
                f"Layers(stated_checksums=True) is for fetchers that have `checksum`, and {type(bare).__name__} has none"
            )
        fetcher = StatedChecksums(fetcher, bare.checksum)
    return fetcher
