"""What is a shard among the files of a folder, by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from asyncwds.errors import SpecError

_SHARD = re.compile(r"[^./].*\.(?:tar(?:\.(?:gz|bz2|xz|zst|zstd|lz4))?|tgz|tbz2?|txz|tzst|tlz4)", re.IGNORECASE | re.DOTALL)


def is_shard_name(name: str) -> bool:
    return _SHARD.fullmatch(name) is not None


def is_manifest(url: str) -> bool:
    """Whether a url is that of a list of shards in JSON."""
    return _path_of(url).endswith((".json", ".jsonl"))


def is_json_lines(url: str) -> bool:
    return _path_of(url).endswith(".jsonl")


def _path_of(url: str) -> str:
    """In lower case; "" for a command."""
    scheme = url.partition(":")[0].lower()
    return "" if scheme == "pipe" else (urlsplit(url).path if scheme in ("http", "https") else url).lower()


def is_folder(path: str) -> bool:
    """Whether a local path is that of a folder. What is called like a shard is not looked at: a network disk takes time."""
    name = os.path.basename(path)  # noqa: PTH119 - a Path would normalise what users gave
    return not name or (not is_shard_name(name) and os.path.isdir(path))  # noqa: PTH112 - Path's raises where access is denied


def shards_in(path: str) -> list[str]:
    """The shards of a local folder, by name. Raises SpecError if it has none, or cannot be read."""
    try:
        names = sorted(filter(is_shard_name, os.listdir(path)))  # noqa: PTH208 - a Path would normalise what users gave
    except FileNotFoundError as error:
        raise SpecError("there is no such folder", url=path) from error
    except OSError as error:
        raise SpecError(f"the folder cannot be read: {error.strerror}", url=path) from error
    if not names:
        raise no_shards(path)
    return [os.path.join(path, name) for name in names]  # noqa: PTH118 - as above


def no_shards(folder: str) -> SpecError:
    beside = folder if folder.endswith("/") else f"{folder}/"
    return SpecError(
        "there are no shards in this folder (*.tar, *.tgz, *.tar.gz and so on); those in folders below it are "
        f"{beside}**/*.tar, and with other names a pattern finds them, such as {beside}*.bin",
        url=folder,
    )


def only_shards(urls: Iterable[str]) -> list[str]:
    """Those that are called like shards."""
    return [url for url in urls if is_shard_name(unquote(url.rpartition("/")[2]))]


def without_others(urls: list[str], pattern: str) -> list[str]:
    """What a pattern found; where its last name is `*`, without the files beside shards, as manifests and indexes are."""
    return (only_shards(urls) or urls) if pattern.rpartition("/")[2] in ("*", "**") else urls
