"""Which URLs a cache keeps, what it calls their shards, and which of these take room in its folder. What looks at files blocks:
it is called in threads.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, urlparse

from asyncwds.errors import SpecError
from asyncwds.runtime.security import secure_mode
from asyncwds.shards.urls import local_path, rewritten

INDEX = ".asyncwds"
"""The folder, within the cache's, for what it has to remember."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,@-]+")
_PATH_SCHEMES = frozenset({"", "file", "http", "https", "ftp", "ftps", "gs", "s3", "ais"})
_URL = re.compile(r"(https?|hdfs|gs|ais|s3):")
# With the hash and the suffixes of the cache's own files, the longest name has less than 255 bytes.
_STEM, _SUFFIX, _HASH = 100, 50, 16


def url_hash(url: str) -> str:
    """128 bits, so that two URLs never share them by chance."""
    return hashlib.blake2b(url.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def shard_name(url: str) -> str:
    """`train-000.tar` of any URL → `train-000-HASH.tar`, with a hash of the whole URL. Of a command, its first URL is shown."""
    path = re.split("[?#]", pipe_cleaner(url), maxsplit=1)[0]
    last = _UNSAFE.sub("_", path.rstrip("/").rpartition("/")[2])
    stem, dot, suffix = last.partition(".")
    return f"{stem[-_STEM:]}-{url_hash(url)[:_HASH]}{dot}{suffix[-_SUFFIX:]}".removeprefix("-")


def name_in_cache(url: str, url_to_name: Callable[[str], object] | None) -> str:
    """The name that the user's function gives, or ours. Raises SpecError if that would be a file elsewhere."""
    if url_to_name is None:
        return shard_name(url)
    name = url_to_name(url)
    if not isinstance(name, str):
        raise SpecError(f"url_to_name must return text, not {type(name).__name__}", url=url)
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or parts[0].startswith("/") or parts[0] == INDEX or "\0" in name:
        raise SpecError(f"url_to_name must return the name of a file in the cache's folder, not {name!r}", url=url)
    return "/".join(parts)


def url_to_cache_name(url: str, ndir: int = 0) -> str:
    """WebDataset's name: the last `ndir` + 1 components of the path; of URLs that have none, the end of the URL, quoted.

    URLs that end alike get the same name.
    """
    assert isinstance(url, str), f"a URL must be text, not {type(url).__name__}"
    parts = urlparse(url)  # not urlsplit: a ";" ends the path, as it does for WebDataset
    if parts.scheme in _PATH_SCHEMES:
        return "/".join(parts.path.lstrip("/").split("/")[-1 - ndir :])
    return quote(url, safe="_+{}*,-")[-128:]


def pipe_cleaner(spec: str) -> str:
    """The first URL in a `pipe:` command; the command if there is none; anything else as it is."""
    command = spec.removeprefix("pipe:")
    if command == spec:
        return spec
    return next((word for word in command.split(" ") if _URL.match(word)), command)


def islocal(url: str) -> bool:
    """Whether WebDataset takes it for a local file: it has no scheme, or `file:`."""
    return urlparse(url).scheme in ("", "file")


def cached_url(url: str, root: Path, *, local: bool) -> str | None:
    """The URL that a cache in the folder `root` knows an object by; None for what it does not keep. Blocking, for a local file.

    Local files are kept where `local` says so, by their absolute paths: a relative one means another file in another folder.
    Never kept are files of the cache itself, which would be removed in place of a copy, and FIFOs, whose bytes come once.
    """
    path = local_path(url)
    if path is None:
        return None if url == "-" else url
    if not local or secure_mode() or "\0" in path:
        return None
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)) or _is_special(path):
        return None
    return str(Path(path).absolute()) if rewritten(url) == url else url


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:  # a network disk that is away: what is kept of it is there all the same
        return False


class Entry(NamedTuple):
    """Something that takes room: a shard, or a download (`part`)."""

    used: int
    name: str
    size: int
    part: bool


def find_entries(root: Path, folder: str = "") -> Iterator[Entry]:
    """All shards that have a record, and all downloads."""
    # 0.1 s for 10,000 shards; with pathlib it were five times that.
    try:
        found = list(os.scandir(f"{root}/{INDEX}/{folder}"))
    except FileNotFoundError:
        return
    for file in found:
        stem, _, kind = file.name.rpartition(".")
        name = folder + stem
        with suppress(FileNotFoundError):  # another process has removed it
            if file.is_dir():
                yield from find_entries(root, f"{folder}{file.name}/")
            elif kind == "json":
                yield Entry(file.stat().st_mtime_ns, name, _size(f"{root}/{name}"), part=False)
            elif kind == "part":
                yield Entry(file.stat().st_mtime_ns, name, file.stat().st_size, part=True)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - as fast as it goes
    except FileNotFoundError:
        return 0
