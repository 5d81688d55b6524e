"""`webdataset.tariterators`: archives as separate stages, as other people's code puts them together.

`trace`, `meta_prefix` and `meta_suffix` may be set: they hold for the functions of this module.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from random import Random
from typing import Any

from asyncwds.model import Sample
from asyncwds.pipeline import grouping, tarstages
from asyncwds.pipeline.grouping import valid_sample
from asyncwds.pipeline.handlers import Handler, reraise_exception
from asyncwds.pipeline.tarstages import META, Renames, Selects, tarfile_samples, tarfile_to_samples, url_opener
from asyncwds.tar.grouping import Keys, base_plus_ext

__all__ = [
    "base_plus_ext",
    "group_by_keys",
    "meta_prefix",
    "meta_suffix",
    "reraise_exception",
    "shardlist",
    "tar_file_expander",
    "tar_file_iterator",
    "tarfile_samples",
    "tarfile_to_samples",
    "trace",
    "url_opener",
    "valid_sample",
]

trace = False  # whether `group_by_keys` writes each file's key and suffix to stdout
meta_prefix = "__"
meta_suffix = "__"  # files without a folder whose names begin and end so are skipped


def shardlist(urls: Any, *, shuffle: bool = False) -> Iterator[dict[str, str]]:
    """`{"url": url}` for each url, in random order with `shuffle`."""
    listed = list(urls)
    if shuffle:
        Random().shuffle(listed)  # noqa: S311 - an order, no secret
    return ({"url": url} for url in listed)


def tar_file_iterator(
    fileobj: Any,
    skip_meta: str | None = META,
    handler: Handler = reraise_exception,
    select_files: Selects = None,
    rename_files: Renames = None,
) -> Iterator[dict[str, Any]]:
    """The regular files of an archive, `{fname, data}`; `fileobj` is a stream of it, or a `tarfile.TarFile`."""
    stream = getattr(fileobj, "fileobj", None) or fileobj
    renames, selects = _without_meta(rename_files, select_files)
    return tarstages.tar_file_iterator(stream, skip_meta, handler, selects, renames)


def tar_file_expander(
    data: Iterable[Mapping[str, Any]],
    handler: Handler = reraise_exception,
    select_files: Selects = None,
    rename_files: Renames = None,
    eof_value: Any = None,
) -> Iterator[Any]:
    """See `asyncwds.tar_file_expander`."""
    renames, selects = _without_meta(rename_files, select_files)
    return tarstages.tar_file_expander(data, handler, selects, renames, eof_value)


def group_by_keys(
    data: Iterable[Any],
    keys: Keys = base_plus_ext,
    lcase: bool = True,
    suffixes: Collection[str] | None = None,
    handler: Handler = reraise_exception,
) -> Iterator[Sample]:
    """See `asyncwds.group_by_keys`."""
    return grouping.group_by_keys(data, _traced(keys) if trace else keys, lcase, suffixes, handler)


def _traced(keys: Keys) -> Keys:
    def traced(fname: str) -> Any:
        found = keys(fname)
        sys.stdout.write(f"{found[0]} {found[1]}\n")
        return found

    return traced


def _without_meta(rename: Renames, select: Selects) -> tuple[Renames, Selects]:
    """As they are, unless meta files are called otherwise than usual. A file is renamed just before it is selected."""
    if (meta_prefix, meta_suffix) == ("__", "__"):
        return rename, select
    latest = [""]

    def renames(name: str) -> str:
        latest[0] = name
        return name if rename is None else rename(name)

    def selects(name: str) -> bool:
        original = latest[0]
        meta = "/" not in original and original.startswith(meta_prefix) and original.endswith(meta_suffix)
        return not meta and (select is None or bool(select(name)))

    return renames, selects
