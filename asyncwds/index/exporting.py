"""What to write where for an index, in each format. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from asyncwds.errors import SpecError
from asyncwds.index import encoding
from asyncwds.index.formats import counts, energon, files_json, parquet, wds2idx
from asyncwds.index.formats.digests import ShardDigests
from asyncwds.index.formats.members import renamed
from asyncwds.index.index import Index
from asyncwds.storage.cache.names import shard_name

IndexFormat = Literal["asyncwds", "wids", "wds2idx", "energon", "webshart", "hfutils", "sizes", "len", "manifest", "parquet"]
FORMATS: tuple[str, ...] = get_args(IndexFormat)

WITH_DIGESTS = ("wids", "hfutils")
"""Formats that have room for digests."""
WITH_MEDIA = ("webshart",)
"""Formats that have room for what images measure."""
Images = Mapping[str, Mapping[int, tuple[int, int]]]
"""By url of a shard, and offset [bytes] of the payload: width and height."""

_OF_A_DATA_SET = {  # how the one file is called
    "wids": "shardindex.json",
    "sizes": "sizes.json",
    "len": "__len__",
    "manifest": "manifest.jsonl",
}
_ALSO_IN_ONE_FILE = ("asyncwds", "parquet")
_ENDINGS: dict[str, tuple[tuple[str, ...], str]] = {  # of a shard's url, and what takes its place in that of its index
    "asyncwds": ((), encoding.SUFFIX),
    "wds2idx": ((".tar",), wds2idx.SUFFIX),
    "webshart": ((".tar",), files_json.SUFFIX),
    "hfutils": ((".tar",), files_json.SUFFIX),
    "energon": ((".tar",), energon.SUFFIX),
    "parquet": ((), parquet.SUFFIX),  # NAME.parquet, without .tar, is img2dataset's table of what it downloaded
}


def files_of(
    index: Index,
    target: str | None,
    form: IndexFormat,
    digests: Mapping[str, ShardDigests] | None = None,
    images: Images | None = None,
) -> dict[str, bytes]:
    """The files, by url; `target` is that of one file, of a folder (with a slash at the end), or None, as for `save_index`.
    `digests`, by url, and `images` are for formats that have room for them.

    Raises SpecError for what the format cannot hold, and for a target that is none of it.
    """
    if not index.shards:
        raise SpecError("an index without shards is of no use")
    if form in _OF_A_DATA_SET:
        place = target or _folder_of(index)
        place += _OF_A_DATA_SET[form] if place.endswith("/") or not place else ""
        return {place: _encode_counts(index, place, form, digests or {})}
    if target is not None and not target.endswith("/"):
        if form not in _ALSO_IN_ONE_FILE:
            raise SpecError(
                f"{form} has a file for each shard: write them beside these, or into a folder (with a slash)", url=target
            )
        return {target: _encode(index, target, form, digests or {}, images or {})}
    return _energons(index, target) if form == "energon" else _for_each_shard(index, target, form, digests or {}, images or {})


def _encode_counts(index: Index, place: str, form: IndexFormat, digests: Mapping[str, ShardDigests]) -> bytes:
    match form:
        case "wids":
            return counts.encode_wids(index, place, digests)
        case "manifest":
            return counts.encode_manifest(index, place)
        case "len":
            return counts.encode_len(index)
        case _:
            return counts.encode_sizes(index)


def _for_each_shard(
    index: Index, folder: str | None, form: IndexFormat, digests: Mapping[str, ShardDigests], images: Images
) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for shard in index.shards:
        place = index_url(shard.url, form, folder)
        if place in files:
            raise SpecError("two shards have the same name, and their indexes would be one file", url=shard.url)
        files[place] = _encode(Index((shard,)), place, form, digests, images)
    return files


def _encode(index: Index, place: str, form: IndexFormat, digests: Mapping[str, ShardDigests], images: Images) -> bytes:
    """One shard, for the formats that have only one."""
    shard = index.shards[0]
    match form:
        case "wds2idx":
            return wds2idx.encode(shard)
        case "webshart":
            return files_json.encode(shard, "length", images=images.get(shard.url))
        case "hfutils":
            return files_json.encode(shard, "size", digests.get(shard.url))
        case "parquet":
            return parquet.encode(index, place)
        case _:
            return encoding.encode(index, place)


def index_url(shard: str, form: IndexFormat = "asyncwds", folder: str | None = None) -> str:
    """Where the index of a shard is: beside it; or in a folder (with a slash), ours under a name of its own for each url."""
    if folder is not None and form == "asyncwds":
        return folder + shard_name(shard) + encoding.SUFFIX
    beside = renamed(shard, *_ENDINGS[form])
    return beside if folder is None else folder + _last(beside)


def _energons(index: Index, target: str | None) -> dict[str, bytes]:
    folder = target or _folder_of(index)
    beside = [renamed(shard.url, *_ENDINGS["energon"]) for shard in index.shards]
    names = [shard.url.removeprefix(folder) for shard in index.shards]
    if not all(shard.url.startswith(folder) for shard in index.shards):
        raise SpecError("Energon's database is in the folder of the shards, and not elsewhere", url=folder)
    nv_meta = energon.encode_database(index, names)
    return {url: energon.encode_offsets(shard) for url, shard in zip(beside, index.shards, strict=True)} | {
        f"{folder}{energon.FOLDER}/{name}": data for name, data in nv_meta.items()
    }


def _folder_of(index: Index) -> str:
    """That in which all shards are; "" is the present one."""
    folders = [shard.url[: shard.url.rfind("/") + 1] for shard in index.shards]
    least, most = min(folders), max(folders)
    differ = next((place for place, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), min(len(least), len(most)))
    return least[: least.rfind("/", 0, differ) + 1]


def _last(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
