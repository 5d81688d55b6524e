"""Where indexes are kept: a file for a data set, one beside each shard, a folder of those; and the files of other libraries."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from glob import escape
from os import PathLike
from pathlib import Path
from typing import Any

from asyncwds import checks
from asyncwds.errors import NotFoundError, SpecError
from asyncwds.index import encoding
from asyncwds.index.exporting import FORMATS, WITH_DIGESTS, Images, IndexFormat, files_of
from asyncwds.index.formats import counts, energon, files_json, parquet, wds2idx
from asyncwds.index.formats.digests import ShardDigests
from asyncwds.index.index import Index
from asyncwds.index.making import digest_shards
from asyncwds.runtime.blocking import BlockingPool, run_on_own_loop
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.event_loop import run_some_at_a_time
from asyncwds.settings.access import Access, Http, Retry, Settings, Storage
from asyncwds.shards.folders import is_folder
from asyncwds.shards.patterns import expand
from asyncwds.shards.urls import local_path
from asyncwds.storage.base import Fetcher, ObjectRange
from asyncwds.storage.registry import open_storage
from asyncwds.storage.schemes import as_access
from asyncwds.storage.sink import write_whole
from asyncwds.storage.sinks import open_sinks

AT_ONCE = 32  # files that are read

Urls = str | PathLike[str] | Sequence[str | PathLike[str]]


def load_index(
    urls: Urls,
    *,
    http: Http | None = None,
    retry: Retry | None = None,
    storage: Storage | Settings | None = None,
) -> Index:
    """The index in a file, or in several, one after the other.

    urls   path or URL, with braces and local wildcards, or a list of such; a local folder stands for the `.wdsindex` files in it

    Beside those of asyncwds these are known: lists of wids, `sizes.json`, manifests, open_lm's too (all have numbers of samples
    only), tables in Parquet as `save_index` writes them, `wds2idx`, `.tar.idx` and `.nv-meta/index.sqlite` of Energon, JSON of
    webshart and hfutils. Blocks. Raises SpecError for a file that is none of these, or damaged, and FetchError where it cannot be
    read.
    """
    return load_by(urls, as_access(http, retry, storage))


def load_by(urls: Urls, access: Access) -> Index:
    """The same, for others of the library."""
    return run_on_own_loop(partial(_load, _expand(urls), access))


def save_index(
    index: Index,
    url: str | PathLike[str] | None = None,
    format: IndexFormat = "asyncwds",  # noqa: A002 - what it is called everywhere
    *,
    hash: bool = False,  # noqa: A002 - as the option of the command
    http: Http | None = None,
    retry: Retry | None = None,
    storage: Storage | Settings | None = None,
) -> list[str]:
    """Writes an index, and returns the urls of the files.

    url      of the file, for a whole data set; of a folder, with a slash at the end, for a file for each shard; None writes that
             beside each shard, and what there is once for a data set into their folder
    format   "asyncwds"; "parquet", a table with a row for each sample, as a file for a data set or one for each shard; or another
             library's: "wids", "sizes" and "len" (open_clip), "manifest" (open_lm), "energon", for a whole data set, and "wds2idx"
             (DALI), "webshart", "hfutils" (cheesechaser), for each shard
    hash     read the shards for their digests, which "wids" and "hfutils" have

    Raises SpecError for what the format cannot hold, FetchError where it cannot be written, and with `hash` where a shard cannot
    be read, StaleIndexError where it is another one than the index says.
    """
    checks.one_of("format", format, FORMATS)
    checks.instance("index", index, Index)
    checks.path("url", url, optional=True)
    checks.require(not hash or format in WITH_DIGESTS, f"hash is for the formats {' and '.join(WITH_DIGESTS)}, not for {format!r}")
    access = as_access(http, retry, storage)
    digests = digest_shards(index, access) if hash else {}
    return write_index(index, None if url is None else os.fspath(url), format, access, digests)


def write_index(
    index: Index,
    target: str | None,
    form: IndexFormat,
    access: Access,
    digests: Mapping[str, ShardDigests] | None = None,
    *,
    images: Images | None = None,
    dry_run: bool = False,
) -> list[str]:
    """The same, for others of the library, with digests and sizes of images that are known.

    `dry_run` only says which files there would be.
    """
    files = files_of(index, target, form, digests, images)
    if not dry_run:
        run_on_own_loop(partial(write_files, files, access))
    return list(files)


def _expand(urls: Urls) -> list[str]:
    if isinstance(urls, list | tuple):
        return [found for each in urls for found in _expand(each)]
    checks.path("the path or URL of an index", urls)
    assert isinstance(urls, str | PathLike)
    url = os.fspath(urls)
    path = local_path(url)
    if path is not None and is_folder(path):
        url = os.path.join(escape(path), f"*{encoding.SUFFIX}")  # noqa: PTH118 - as it was given
    return list(expand(url))


async def _load(urls: list[str], access: Access) -> Index:
    fetcher = open_storage(access, Counters())
    try:
        indexes = await run_some_at_a_time([read_index(fetcher, url) for url in urls], AT_ONCE)
    finally:
        await fetcher.aclose()
    return Index(tuple([shard for index in indexes for shard in index.shards]))


async def read_index(fetcher: Fetcher, url: str) -> Index:
    data = await _read(fetcher, url)
    if energon.is_database(data):
        if not url.endswith(f"{energon.FOLDER}/{energon.DATABASE}"):
            raise SpecError(
                f"a database of Energon is called {energon.FOLDER}/{energon.DATABASE}: its shards are beside that folder", url=url
            )
        info = await _read(fetcher, url.removesuffix(energon.DATABASE) + energon.INFO)
        return energon.decode_database(data, info, url)
    return decode_index(data, url)


def decode_index(data: bytes, url: str) -> Index:
    """What a file is, by what stands in it; only Energon's has nothing to know it by but its name. Raises SpecError."""
    if data.startswith(encoding.MAGIC[:-1]):
        return encoding.decode(data, url)
    if wds2idx.is_wds2idx(data):
        return wds2idx.decode(data, url)
    if url.partition("?")[0].endswith(energon.SUFFIX):
        return energon.decode_offsets(data, url)
    if data.startswith(parquet.MAGIC):
        return parquet.decode(data, url)
    if data.lstrip()[:1] == b"{":
        found = _parse(data)
        return files_json.decode(found, url) if files_json.is_files_json(found) else counts.decode(data, url)
    if data.strip().isdigit():
        raise SpecError(
            "this is the number of samples of a folder, and an index has that of each shard: sizes.json does, and `asyncwds index`",
            url=url,
        )
    raise SpecError("this is no index that asyncwds knows", url=url)


def _parse(data: bytes) -> Any:
    """None for what is no JSON, but for lines of it perhaps."""
    try:
        return json.loads(data)
    except ValueError:
        return None


async def _read(fetcher: Fetcher, url: str) -> bytes:
    try:
        async with fetcher.open(ObjectRange(url)) as body:
            return b"".join([bytes(chunk) async for chunk in body])
    except NotFoundError as error:
        error.add_note("`asyncwds index` makes one")
        raise


async def write_files(files: Mapping[str, bytes], access: Access) -> None:
    with BlockingPool("index") as thread:
        sinks = open_sinks(access, thread)
        try:
            for url, data in files.items():
                await thread.run(_make_folder, url)
                await write_whole(await sinks.open(url), data)
        finally:
            await sinks.aclose()


def _make_folder(url: str) -> None:
    """One that is missing, in a folder that is there; what is hidden is ours to make, with all that it is in."""
    path = local_path(url)
    folder = Path(path or "").parent
    if path is not None and (folder.name.startswith(".") or folder.parent.is_dir()):
        folder.mkdir(parents=True, exist_ok=True)
