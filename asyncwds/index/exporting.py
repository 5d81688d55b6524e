"""What to write where for an index, in each format. No I/O."""

from __future__ import annotations

from typing import Literal, get_args

from asyncwds.errors import SpecError
from asyncwds.index import encoding
from asyncwds.index.formats import counts, energon, files_json, wds2idx
from asyncwds.index.formats.members import renamed
from asyncwds.index.index import Index, ShardIndex
from asyncwds.storage.cache.names import shard_name

IndexFormat = Literal["asyncwds", "wids", "wds2idx", "energon", "webshart", "hfutils", "sizes"]
FORMATS: tuple[str, ...] = get_args(IndexFormat)

_OF_A_DATA_SET = {"wids": "shardindex.json", "sizes": "sizes.json"}  # how the one file is called
_ENDINGS: dict[str, tuple[tuple[str, ...], str]] = {  # of a shard's url, and what takes its place in that of its index
    "asyncwds": ((), encoding.SUFFIX),
    "wds2idx": ((".tar",), wds2idx.SUFFIX),
    "webshart": ((".tar",), files_json.SUFFIX),
    "hfutils": ((".tar",), files_json.SUFFIX),
    "energon": ((".tar",), energon.SUFFIX),
}


def files_of(index: Index, target: str | None, form: IndexFormat) -> dict[str, bytes]:
    """The files, by url; `target` is that of one file, of a folder (with a slash at the end), or None, as for `save_index`.

    Raises SpecError for what the format cannot hold, and for a target that is none of it.
    """
    if not index.shards:
        raise SpecError("an index without shards is of no use")
    if form in _OF_A_DATA_SET:
        place = target or _folder_of(index)
        place += _OF_A_DATA_SET[form] if place.endswith("/") or not place else ""
        return {place: counts.encode_wids(index, place) if form == "wids" else counts.encode_sizes(index)}
    if target is not None and not target.endswith("/"):
        if form != "asyncwds":
            raise SpecError(
                f"{form} has a file for each shard: write them beside these, or into a folder (with a slash)", url=target
            )
        return {target: encoding.encode(index, target)}
    return _energons(index, target) if form == "energon" else _for_each_shard(index, target, form)


def _for_each_shard(index: Index, folder: str | None, form: IndexFormat) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for shard in index.shards:
        place = index_url(shard.url, form, folder)
        if place in files:
            raise SpecError("two shards have the same name, and their indexes would be one file", url=shard.url)
        files[place] = _encode(shard, place, form)
    return files


def _encode(shard: ShardIndex, place: str, form: IndexFormat) -> bytes:
    match form:
        case "wds2idx":
            return wds2idx.encode(shard)
        case "webshart":
            return files_json.encode(shard, "length")
        case "hfutils":
            return files_json.encode(shard, "size")
        case _:
            return encoding.encode(Index((shard,)), place)


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
