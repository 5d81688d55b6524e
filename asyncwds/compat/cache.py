"""`webdataset.cache`, for those who put it into pipelines of their own. Datasets have a better one: `WebDataset(cache_dir=...)`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from asyncwds import checks
from asyncwds.compat.download_to_cache import keep
from asyncwds.compat.gopen import current_gopen, gopen
from asyncwds.errors import CacheError, redact
from asyncwds.formatting.texts import printable
from asyncwds.pipeline.stage_run import goes_on
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.runtime.units import MiB
from asyncwds.settings.reading import Cache
from asyncwds.shards.urls import local_path
from asyncwds.storage.cache.checks import check_tar_format, get_filetype, magic_filetype
from asyncwds.storage.cache.names import islocal, pipe_cleaner, url_to_cache_name

__all__ = [
    "FileCache",
    "LRUCleanup",
    "StreamingOpen",
    "check_tar_format",
    "default_cache_dir",
    "default_cache_size",
    "download",
    "get_filetype",
    "islocal",
    "magic_filetype",
    "pipe_cleaner",
    "reraise_exception",
    "url_to_cache_name",
    "verbose_cache",
]

default_cache_dir = os.environ.get("WDS_CACHE", "./_cache")
default_cache_size = float(os.environ.get("WDS_CACHE_SIZE", "1e18"))
verbose_cache = int(os.environ.get("WDS_VERBOSE_CACHE", "0"))  # WebDataset's, which nothing uses


@dataclass
class LRUCleanup:
    """Deletes files of a folder, those with the lowest `keyfn` first, until it has no more than `cache_size` [bytes].

    It looks once in `interval` [s], or each time where that is None.
    """

    cache_dir: str | os.PathLike[str] | None = None
    cache_size: float = 1_000_000_000_000
    keyfn: Callable[[str], Any] = os.path.getctime
    verbose: bool = False
    interval: float | None = 30

    def __post_init__(self) -> None:
        checks.path("LRUCleanup: cache_dir", self.cache_dir, optional=True)
        checks.real("LRUCleanup: cache_size", self.cache_size, 0)
        checks.function("LRUCleanup: keyfn", self.keyfn, takes=1)
        checks.flags(self, "verbose")
        if self.interval is not None:
            checks.real("LRUCleanup: interval, if it is not None,", self.interval, 0)
        self.last_run: float = 0

    def set_cache_dir(self, cache_dir: str | os.PathLike[str]) -> None:
        self.cache_dir = cache_dir

    def cleanup(self) -> None:
        if self.cache_dir is None or (self.interval is not None and time.time() - self.last_run < self.interval):
            return
        self.last_run = time.time()
        entries = sorted(self._entries())
        excess = sum(size for _, _, size in entries) - self.cache_size
        for _, path, size in entries:
            if excess <= 0:
                break
            if self.verbose:
                sys.stderr.write(f"# deleting {printable(path)}\n")
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108
            excess -= size

    def _entries(self) -> Iterator[tuple[Any, str, int]]:
        for folder, _, names in os.walk(self.cache_dir or ""):
            for path in (os.path.join(folder, name) for name in names):  # noqa: PTH118
                with suppress(FileNotFoundError):  # another process cleans up too
                    yield self.keyfn(path), path, os.path.getsize(path)  # noqa: PTH202


def download(url: str, dest: str | os.PathLike[str], chunk_size: int = MiB, verbose: bool = False) -> None:
    """Fetches a url to a file, which appears when it is complete. Nothing is left where that fails."""
    checks.path("download: dest", dest)
    checks.whole("download: chunk_size", chunk_size, 1)
    if verbose:
        sys.stderr.write(f"# downloading {printable(redact(url))} to {printable(os.fspath(dest))}\n")
    target = Path(dest)
    with NamedTemporaryFile(dir=target.parent, prefix=f"{target.name}.temp", delete=False) as file:
        try:
            with current_gopen()(url) as stream:
                while data := stream.read(chunk_size):
                    file.write(data)
            file.flush()
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink()
            raise


@dataclass
class StreamingOpen:
    """The stage from urls, or dicts with a `url`, to dicts of `url`, `stream`, and `local_path` where it is one."""

    verbose: bool = False
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.flags(self, "verbose")
        checks.function("StreamingOpen: handler", self.handler, takes=1)

    def __call__(self, urls: Iterable[Any]) -> Iterator[dict[str, Any]]:
        return _opened(urls, lambda url: (_stream(url), local_path(url)), self.handler)


def _stream(url: str) -> Any:
    return (current_gopen() if local_path(url) is None else gopen)(url)


class FileCache:
    """The stage from urls, or dicts with a `url`, to dicts of `url`, `stream` and `local_path`, of copies in `cache_dir`.

    A copy is made where there is none, once for all processes, and is an error where `validator` says so. `url_to_name` says
    what they are called, by default something that no two urls share. With a positive `cache_size` [bytes], those that were
    not used for longest make room before it is needed; `cache_cleanup_interval` is that of `cleaner`, which is not. Where the
    cache fails, the stream comes from the source. Local files are opened where they are. The handler is asked about failures:
    it may pass over the url.
    """

    def __init__(
        self,
        cache_dir: str | os.PathLike[str] | None = None,
        *,
        url_to_name: Callable[[str], str] | None = None,
        verbose: bool = False,
        validator: Callable[[str], bool] | None = check_tar_format,
        handler: Handler = reraise_exception,
        cache_size: float = -1,
        cache_cleanup_interval: float | None = 30,
    ) -> None:
        checks.path("FileCache: cache_dir", cache_dir, optional=True)
        checks.function("FileCache: url_to_name", url_to_name, optional=True, takes=1)
        checks.flag("FileCache: verbose", verbose)
        checks.function("FileCache: validator", validator, optional=True, takes=1)
        checks.function("FileCache: handler", handler, takes=1)
        checks.real("FileCache: cache_size", cache_size)
        if cache_cleanup_interval is not None:
            checks.real("FileCache: cache_cleanup_interval, if it is not None,", cache_cleanup_interval, 0)
        self.cache_dir = os.fspath(default_cache_dir if cache_dir is None else cache_dir)
        self.cache_size = cache_size
        self.url_to_name = url_to_name
        self.verbose = verbose
        self.validator = validator
        self.handler = handler
        # WebDataset's, for whoever calls it: the cache has made room already.
        bounded = cache_size > 0
        self.cleaner = LRUCleanup(self.cache_dir, cache_size, verbose=verbose, interval=cache_cleanup_interval) if bounded else None

    def get_file(self, url: str) -> str:
        """The path of a copy, which is made if there is none.

        Raises TarHeaderError for what is no archive, and CacheError where it cannot be kept.
        """
        path = local_path(url)
        if path is not None:
            return path
        size = int(self.cache_size) if self.cache_size > 0 else None
        cache = Cache(self.cache_dir, size, self.url_to_name, verbose=self.verbose)
        return keep(url, cache, validator=self.validator or _anything)

    def __call__(self, urls: Iterable[Any]) -> Iterator[dict[str, Any]]:
        return _opened(urls, self._open, self.handler)

    def _open(self, url: str) -> tuple[Any, str | None]:
        if local_path(url) is not None:
            return gopen(url), local_path(url)  # which knows the secure mode
        try:
            path = self.get_file(url)
        except CacheError:  # there was a warning
            return current_gopen()(url), None
        return open(path, "rb"), path  # noqa: PTH123 - for whoever takes the stream to close


def _anything(_: str) -> bool:
    return True


def _opened(urls: Iterable[Any], opener: Callable[[str], tuple[Any, str | None]], handler: Handler) -> Iterator[dict[str, Any]]:
    for item in urls:
        url = item["url"] if isinstance(item, dict) else item
        try:
            stream, path = opener(url)
        except Exception as error:  # noqa: BLE001 - the handler decides
            if goes_on(error, handler):
                continue
            return
        yield {"url": url, "stream": stream, **({} if path is None else {"local_path": path})}
