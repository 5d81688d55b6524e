"""What the commands that read shards have in common: what their options mean, and samples with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncwds.cli.bars import is_shown, show_progress
from asyncwds.formatting.texts import MB
from asyncwds.settings.access import Access, Http, Settings
from asyncwds.settings.reading import Cache, cache_settings
from asyncwds.shards.patterns import expand
from asyncwds.shards.urls import scheme_of

if TYPE_CHECKING:
    from asyncwds.pipeline.dataset import WebDataset
    from asyncwds.runtime.stats import Stats

T = TypeVar("T")


@dataclass(frozen=True)
class Sources:
    """How urls are read: what the options say."""

    access: Access = field(default_factory=Access)
    cache: Cache | None = None


def sources(
    urls: tuple[str, ...],
    *,
    headers: tuple[str, ...],
    anonymous: bool,
    endpoint: str | None,
    profile: str | None,
    cache: str | None,
) -> Sources:
    """What the options mean for these urls. Raises click.UsageError for options that none of them takes."""
    given = {"anonymous": anonymous or None, "endpoint": endpoint, "profile": profile}
    options = {name: value for name, value in given.items() if value is not None}
    expanded = expand(urls)
    http = Http(headers=_headers_by_server(expanded, headers))
    return Sources(Access(http, storage=_settings(expanded, options)), cache_settings(cache))


def _headers_by_server(urls: Iterable[str], headers: tuple[str, ...]) -> dict[str, dict[str, str]]:
    if not headers:
        return {}
    servers = {"/".join(url.split("/", 3)[:3]) + "/" for url in urls if scheme_of(url) in ("http", "https")}
    if not servers:
        raise click.UsageError("--header is for http: and https: urls, and there are none")
    parsed = dict(map(_header, headers))
    return dict.fromkeys(servers, parsed)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter("a header is 'NAME: VALUE'", param_hint="--header")
    return name.strip(), value.strip()


def _settings(urls: Iterable[str], options: dict[str, Any]) -> dict[str, Settings]:
    """By scheme, for all kinds of buckets that have such settings: a list of shards may name others than its own."""
    if not options:
        return {}
    from asyncwds.storage.schemes import own_schemes  # noqa: PLC0415 - the settings of all stores

    known = {name: scheme.settings for name, scheme in own_schemes().items() if scheme.settings and not scheme.exclusive}
    for scheme in sorted({scheme_of(url) for url in urls} & known.keys()):
        for name in options.keys() - _names(known[scheme]):
            raise click.UsageError(f"--{name} is not for {scheme}: urls")
    if all(scheme_of(url) in ("http", "https", "pipe", "-") for url in urls):
        raise click.UsageError(f"{', '.join(f'--{name}' for name in options)}: only buckets take that, and there are none")
    return {f"{scheme}://": type(held)(**options) for scheme, held in known.items() if options.keys() <= _names(held)}


def _names(settings: Any) -> set[str]:
    return {each.name for each in fields(settings)}


def dataset(
    urls: Iterable[str],
    sources: Sources,
    connections: int | None = None,
    interleave: int = 1,
    *,
    shuffle_shards: bool = False,
) -> WebDataset:
    """The samples of the shards in the order of the urls, or shuffled, always in the same way."""
    from asyncwds.pipeline.dataset import WebDataset  # noqa: PLC0415 - heavy
    from asyncwds.settings.reading import Prefetch  # noqa: PLC0415 - heavy

    return WebDataset(
        list(urls),
        shardshuffle=shuffle_shards,
        seed=0,
        prefetch=Prefetch(connections=connections or "auto", interleave=interleave),
        empty_check=False,
        http=sources.access.http,
        storage=sources.access.storage or None,
        cache=sources.cache,
    )


def progress(items: Iterator[T], stats: Callable[[], Stats], *, label: str, total: int | None = None) -> Iterator[T]:
    """The items, while it is shown how far they are. Closes them."""
    with closing(items) as open_items:  # type: ignore[type-var]
        if not is_shown():
            yield from open_items
            return
        nbytes = 0
        with show_progress(label, "samples", total) as display:
            for number, item in enumerate(open_items):
                if number % 64 == 0:
                    now = stats()
                    rate = f"{now.bytes_per_second / MB:.0f} MB/s"
                    display.note(f"{rate}, {now.in_flight} in flight, waited {now.waited:.1f} s")
                    display.advance(0, now.bytes - nbytes)
                    nbytes = now.bytes
                yield item
                display.advance()
            display.advance(0, stats().bytes - nbytes)
