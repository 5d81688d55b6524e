"""Tar archives as stages: all in one, by the engine, or opening, unpacking and grouping one by one, as WebDataset has them.

    url_opener → {url, stream} → tar_file_expander → {fname, data, __url__} → group_by_keys → samples

One by one they run in the thread that consumes them, one shard at a time; `http:` streams are read ahead all the same.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any, Literal

from asyncwds import checks
from asyncwds.compat.gopen import current_gopen
from asyncwds.compression.decompress import Decompressor
from asyncwds.engine.source import Source
from asyncwds.errors import ShardWarning, SpecError, TrailingBytesError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.stage_run import goes_on
from asyncwds.pipeline.tar_samples import TarSamples
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Http, Retry
from asyncwds.settings.reading import Cache, Prefetch, as_prefetch, cache_settings
from asyncwds.storage.base import Fetcher
from asyncwds.storage.schemes import as_access
from asyncwds.tar.grouping import is_meta
from asyncwds.tar.members import Member
from asyncwds.tar.parser import TarParser

PIECE = MiB  # [bytes] read from a stream at a time
META = r"__[^/]*__($|/)"  # names that WebDataset reserves

Selects = Callable[[str], bool] | None
Renames = Callable[[str], str] | None


def tarfile_to_samples(
    handler: Handler = reraise_exception,
    select_files: Selects = None,
    rename_files: Renames = None,
    *,
    prefetch: int | Literal["auto"] | Prefetch | None = None,
    retry: Retry | None = None,
    http: Http | None = None,
    cache_dir: str | PathLike[str] | None = None,
    cache_size: float = -1,
    cache: Cache | None = None,
    fetcher: Callable[[], Fetcher] | None = None,
    verify: bool = True,
    strict: bool = False,
) -> TarSamples:
    """The stage from shards (urls, or dicts with a `url`) to samples, read by the engine. Its arguments are `WebDataset`'s."""
    checks.instance("cache", cache, Cache, optional=True)
    source = Source(
        urls=(),
        handler=handler,
        strict=strict,
        select_files=select_files,
        rename_files=rename_files,
        local_paths=False,  # as WebDataset's
        prefetch=as_prefetch(prefetch),
        access=as_access(http, retry, None),
        cache=cache or cache_settings(cache_dir, cache_size),
        fetcher=fetcher,
        verify=verify,
    )
    return TarSamples(source)


def url_opener(data: Iterable[Any], handler: Handler = reraise_exception, **kw: Any) -> Iterator[dict[str, Any]]:
    """Opens urls, or the `url` of dicts, by `gopen(url, **kw)`, and adds the `stream`. The handler is asked about failures."""
    checks.function("url_opener: handler", handler, takes=1)
    return _opened(data, handler, kw)


def _opened(data: Iterable[Any], handler: Handler, kw: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in data:
        sample = dict(item) if isinstance(item, Mapping) else {"url": item}
        if not isinstance(sample.get("url"), str):
            raise SpecError(f"url_opener needs urls, or dicts with a url, not {show_value(item)}")
        try:
            sample["stream"] = current_gopen()(sample["url"], **kw)
        except Exception as error:  # noqa: BLE001 - users' openers; the handler decides
            if goes_on(error, handler):
                continue
            return
        yield sample


class ArchiveFile(dict[str, Any]):
    """A file of an archive: `fname`, `data`, `__url__`. Outside the mapping it has the number of the archive in the stream.

    By that `group_by_keys` keeps the samples of archives apart, and nobody else has to know of ends of archives.
    """

    __slots__ = ("archive",)
    archive: int


def tar_file_expander(
    data: Iterable[Mapping[str, Any]],
    handler: Handler = reraise_exception,
    select_files: Selects = None,
    rename_files: Renames = None,
    eof_value: Any = None,
) -> Iterator[Any]:
    """Unpacks the `stream` of each item, and closes it: `{fname, data, __url__}` for each file, then `eof_value` unless it is None.

    The handler is asked about archives that are cut short or damaged, and may go on with the next; and about errors of
    `select_files` and `rename_files`, after which it may go on with the next file.
    """
    _check_functions("tar_file_expander", handler, select_files, rename_files)
    return _expanded(data, handler, select_files, rename_files, eof_value)


def _check_functions(caller: str, handler: Handler, select_files: Selects, rename_files: Renames) -> None:
    checks.function(f"{caller}: handler", handler, takes=1)
    checks.function(f"{caller}: select_files", select_files, optional=True, takes=1)
    checks.function(f"{caller}: rename_files", rename_files, optional=True, takes=1)


def _expanded(
    data: Iterable[Mapping[str, Any]], handler: Handler, select_files: Selects, rename_files: Renames, eof_value: Any
) -> Iterator[Any]:
    stopped: list[Exception] = []

    def noted(error: Exception) -> bool:
        if goes_on(error, handler):
            return True
        stopped.append(error)
        return False

    for number, source in enumerate(data):
        _require_stream(source)
        url, local_path = source["url"], source.get("local_path")
        try:
            for item in _files(source["stream"], url, META, noted, select_files, rename_files):
                file = ArchiveFile(item, __url__=url, **({} if local_path is None else {"__local_path__": local_path}))
                file.archive = number
                yield file
        except Exception as error:  # noqa: BLE001 - streams of any kind; the handler decides
            if not noted(error):
                return
            continue
        finally:
            if hasattr(source["stream"], "close"):
                source["stream"].close()
        if stopped:
            return
        if eof_value is not None:
            yield eof_value


def _require_stream(source: Any) -> None:
    if not isinstance(source, Mapping) or not hasattr(source.get("stream"), "read"):
        raise SpecError(
            f"tar_file_expander needs items with a url and a stream, not {show_value(source)}; url_opener belongs before it"
        )


def tar_file_iterator(
    fileobj: Any,
    skip_meta: str | None = META,
    handler: Handler = reraise_exception,
    select_files: Selects = None,
    rename_files: Renames = None,
) -> Iterator[dict[str, Any]]:
    """The regular files of an archive, `{fname, data}`, but those whose name the pattern `skip_meta` matches at its beginning.

    `fileobj` is a stream of it, or a `tarfile.TarFile`.
    The handler is asked about errors of `select_files` and `rename_files`; those of the archive are raised.
    """
    _check_functions("tar_file_iterator", handler, select_files, rename_files)
    stream = getattr(fileobj, "fileobj", None) or fileobj
    return _files(stream, str(getattr(stream, "name", "")), skip_meta, handler, select_files, rename_files)


def _files(  # noqa: PLR0917 - as above
    stream: Any, url: str, skip_meta: str | None, handler: Handler, select_files: Selects, rename_files: Renames
) -> Iterator[dict[str, Any]]:
    for name, data, _ in _members(stream, url):
        if (is_meta(name) and "/" not in name) or (skip_meta is not None and re.match(skip_meta, name)):
            continue
        try:
            fname = name if rename_files is None else rename_files(name)
            wanted = select_files is None or checks.is_true("select_files", select_files(fname))
        except Exception as error:  # noqa: BLE001 - users' functions; the handler decides
            if not goes_on(error, handler):
                return
            continue
        if wanted:
            yield {"fname": fname, "data": data}


def _members(stream: Any, url: str) -> Iterator[Member]:
    """The regular files of an archive, then the error that ends it early, if any; a ShardWarning for what stands behind it."""
    decompressor = Decompressor(url)
    parser = TarParser(url, max_member_bytes=Prefetch().max_member_bytes)
    while chunk := stream.read(PIECE):
        for piece in decompressor.feed(chunk):
            yield from _parsed(parser, piece)
    for piece in decompressor.finish():
        yield from _parsed(parser, piece)
    early = parser.finish() or decompressor.trailing
    if isinstance(early, TrailingBytesError):
        warnings.warn(str(early), ShardWarning, stacklevel=2)
    elif early is not None:
        raise early


def _parsed(parser: TarParser, piece: bytes) -> Iterator[Member]:
    yield from parser.feed(piece)
    if parser.error is not None and not isinstance(parser.error, TrailingBytesError):
        raise parser.error
