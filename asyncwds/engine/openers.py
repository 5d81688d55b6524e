"""`gopen_schemes`: by which function the urls of a scheme are opened. Users may change it, for datasets too.

    wds.gopen_schemes["mine"] = lambda url, mode, bufsize: open_somehow(url)

A function that stands here in place of the library's own is called in a thread, and read there. Writers call it with "wb".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from asyncwds.engine.opener_table import OWN, gopen_schemes
from asyncwds.errors import SpecError
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.security import require_local, why_refused
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache
from asyncwds.shards.urls import local_path, rewritten, scheme_of
from asyncwds.storage.base import Fetcher
from asyncwds.storage.callable_sources import Opener
from asyncwds.storage.local.command import program, shell
from asyncwds.storage.registry import Openers, knows, open_storage
from asyncwds.storage.schemes import added_scheme, own_schemes

_CURL = ["curl", "--connect-timeout", "30", "--retry", "30", "--retry-delay", "2", "-f", "-s", "-L", "URL"]
_CURL_PUT = ["curl", "-f", "-s", "-X", "PUT", "-L", "-T", "-", "URL"]


def _by_the_engine(url: str, mode: str = "rb", bufsize: int = 8192, **options: Any) -> Any:
    from asyncwds.bridges.file_objects import DownloadFile, UploadFile  # noqa: PLC0415 - writers do without the engine

    return DownloadFile.opened(url, bufsize, **options) if mode == "rb" else UploadFile(url, **options)


def _unknown(url: str, *_: Any, **__: Any) -> Any:
    raise SpecError("no gopen handler is defined for urls of this scheme", url=url)


gopen_schemes.update(
    {
        "__default__": _unknown,
        **{name: _by_the_engine for name, scheme in own_schemes().items() if scheme.output is None},
        "pipe": shell,
        "sftp": program(_CURL, _CURL_PUT),
        "ftps": program(_CURL, _CURL_PUT),
        "scp": program(_CURL, _CURL_PUT),
    }
)
OWN.update(gopen_schemes)


def opener_of(scheme: str) -> Opener:
    """The function for a scheme: what $USE_AIS_FOR names ("s3:gs") is read by way of AIStore."""
    if scheme in os.environ.get("USE_AIS_FOR", "").split(":"):
        return gopen_schemes["ais"]
    if _is_added(scheme):
        return _by_the_engine
    default = _by_the_engine if knows(scheme) else gopen_schemes["__default__"]
    return gopen_schemes.get(scheme, default)


def open_file(url: str, mode: str = "rb", bufsize: int = 8192, *, buffering: int = -1, **options: Any) -> Any:
    """A url as a file, but for `-`: paths by Python, with `buffering`, all else by the function for its scheme.

    Rewritten before as $GOPEN_REWRITE says. Raises SpecError for local files in secure mode.
    """
    url = rewritten(url)
    path = local_path(url)
    if path is None:
        return opener_of(scheme_of(url))(url, mode, bufsize, **options)
    require_local("local files are not opened", url)
    return open(path, mode, buffering=buffering)  # noqa: PTH123 - the caller's to close


def writer_of(url: str) -> Opener | None:
    """The function that writers open a url with; None where that is their own affair, or not allowed."""
    scheme = scheme_of(url)
    if scheme in {"-", "file"} or why_refused(scheme):
        return None
    if scheme in os.environ.get("USE_AIS_FOR", "").split(":"):
        scheme = "ais"
    if _is_added(scheme):
        return None
    opener = gopen_schemes.get(scheme, OWN.get(scheme, gopen_schemes["__default__"]))
    return None if opener in {_by_the_engine, _unknown, shell} else opener


def _is_added(scheme: str) -> bool:
    """Whether there is a record for it from outside, which goes before the programs that stand here for want of one."""
    return gopen_schemes.get(scheme) is OWN.get(scheme) and added_scheme(scheme) is not None


def open_fetcher(
    access: Access, counters: Counters, cache: Cache | None = None, own: Callable[[], Fetcher] | None = None
) -> Fetcher:
    """What `own` makes, else that for all urls; with a cache around it, where there is one."""
    fetcher = open_by_scheme(access, counters) if own is None else own()
    if cache is None:
        return fetcher
    from asyncwds.storage.cache.fetcher import CachingFetcher  # noqa: PLC0415 - 15 ms that most do without

    return CachingFetcher(fetcher, cache, counters, patience=access.retry.stall_timeout)


def open_by_scheme(access: Access, counters: Counters) -> Fetcher:
    """A fetcher for all urls: the library's own sources, but where `gopen_schemes` has another function, and for the rest it.

    Urls are first rewritten as $GOPEN_REWRITE says.
    """
    changed = {scheme: f for scheme, f in gopen_schemes.items() if f is not OWN.get(scheme)}
    if "ais" in changed:
        changed |= {scheme: changed["ais"] for scheme in os.environ.get("USE_AIS_FOR", "").split(":") if scheme}
    # Whether fsspec knows a scheme is asked when such a url comes: its file systems import much.
    unchanged = {scheme: f for scheme, f in gopen_schemes.items() if f is OWN.get(scheme) and f is not _unknown}
    return open_storage(access, counters, Openers(changed, unchanged))


__all__ = ["OWN", "gopen_schemes", "open_by_scheme", "open_fetcher", "open_file", "opener_of", "writer_of"]
