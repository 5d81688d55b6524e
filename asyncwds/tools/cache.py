"""`cache`: what a folder keeps of shards from elsewhere, and whether it is still what came. Safe beside trainings that use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from asyncwds.errors import AccessError, ChangedError, FetchError, NotFoundError, SpecError, WdsError
from asyncwds.index.exporting import index_url
from asyncwds.index.finding import cache_folder
from asyncwds.runtime.blocking import run_on_own_loop
from asyncwds.runtime.counters import Counters
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Cache
from asyncwds.shards.urls import scheme_of
from asyncwds.storage.base import ObjectRange
from asyncwds.storage.cache.checks import sums_of
from asyncwds.storage.cache.complete import Whole
from asyncwds.storage.cache.folder import CacheFolder
from asyncwds.storage.cache.names import Entry
from asyncwds.storage.cache.threads import CacheThreads
from asyncwds.storage.registry import open_storage
from asyncwds.tools.inputs import Inputs, read_raw
from asyncwds.tools.processing.running import call_each
from asyncwds.tools.report import Report

T = TypeVar("T")

PATIENCE = 20.0  # [s] the folder is locked by others for some hundred microseconds each time
AT_ONCE = 4  # files that are read


@dataclass(frozen=True)
class CacheEntry:
    """name    of the file in the folder
    bytes   how large it is
    used    when it was used last [s since 1970]
    url     where it came from, without what must not be shown; None is not known
    part    it is still being downloaded, or will be gone on with
    """

    name: str
    bytes: int
    used: float
    url: str | None
    part: bool

    @property
    def age(self) -> float:
        """[s] since it was used."""
        return max(0.0, time.time() - self.used)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "age": round(self.age, 3)}


@dataclass(frozen=True)
class BadEntry:
    """Something that is not what it was, and whether it was removed."""

    entry: CacheEntry
    reason: str
    removed: bool = False


@dataclass
class CacheVerification:
    """sound          shards that are what they were
    by_checksum    so many of them have a checksum of each MiB; of others that they can be read to their end is what was seen
    bad            what is not what it was, or not what the source has
    unasked        shards whose source could not be asked, and why
    """

    sound: int = 0
    by_checksum: int = 0
    bad: list[BadEntry] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)


def list_cache(cache: Cache) -> list[CacheEntry]:
    """What a cache keeps, the shard that was not used for longest first. Raises CacheError where that cannot be read."""
    folder = CacheFolder(cache)
    return _call(lambda: [_describe(folder, entry) for entry in folder.entries()])


def clear_cache(cache: Cache, *, unused_for: float = 0, url: str | None = None, dry_run: bool = False) -> list[CacheEntry]:
    """Removes what a cache keeps, with the indexes that it has of these shards, and returns what that was.

    unused_for   [s] only what was not used for so long
    url          only what came from there, with wildcards as in a shell; `*` stands for slashes, too
    dry_run      removes nothing

    What is being downloaded stays. Raises CacheError where files cannot be removed.
    """
    folder = CacheFolder(cache)
    latest = time.time_ns() - round(unused_for * 1e9)
    chosen: dict[Entry, CacheEntry] = {}

    def choose(entry: Entry) -> bool:
        described = _describe(folder, entry)
        if (entry.used > latest and unused_for) or (url is not None and not fnmatchcase(described.url or "", url)):
            return False
        chosen[entry] = described
        return not dry_run

    if not folder.is_begun:
        return []
    removed = _call(lambda: folder.clear(choose))
    _remove_indexes(cache, removed, everything=unused_for == 0 and url is None and not dry_run)
    return list(chosen.values()) if dry_run else [chosen[entry] for entry in removed]


def _remove_indexes(cache: Cache, removed: list[Entry], *, everything: bool) -> None:
    folder = Path(cache_folder(cache))
    names = [index_url(entry.name) for entry in removed]
    for path in folder.glob("*") if everything else map(folder.joinpath, names):
        with suppress(FileNotFoundError):
            path.unlink()


def verify_cache(
    cache: Cache, *, remove: bool = False, access: Access | None = None, show: Callable[[], object] = bool
) -> CacheVerification:
    """Compares what a cache keeps with what it wrote down: size, time, and checksums where it has these; else reads it to its end.

    remove   what is bad goes, and is fetched anew when it is next needed
    access   how sources are asked for size and ETag; None does not ask them
    show     called after each shard

    Raises CacheError where files cannot be read or removed.
    """
    folder = CacheFolder(cache)
    entries = [entry for entry in _call(folder.entries) if not entry.part]
    found = CacheVerification()
    with closing(call_each(partial(_look_at, folder, access), entries, AT_ONCE)) as looks:
        for entry, look in looks:
            _enter(found, folder, entry, look, remove=remove)
            show()
    return found


@dataclass(frozen=True)
class _Look:
    """What was seen of an entry: `whole` where its file is the one of its record."""

    described: CacheEntry
    whole: Whole | None
    wrong: str | None = None
    unasked: str | None = None


def _enter(found: CacheVerification, folder: CacheFolder, entry: Entry, look: _Look, *, remove: bool) -> None:
    if look.wrong is not None:
        if remove:
            whole = look.whole
            _call(lambda: folder.clear(lambda other: other == entry) if whole is None else folder.forget(whole))
        found.bad.append(BadEntry(look.described, look.wrong, removed=remove))
        return
    found.sound += 1
    found.by_checksum += look.whole is not None and look.whole.record.sums is not None
    if look.unasked is not None:
        found.unasked.append(look.unasked)


def _look_at(folder: CacheFolder, access: Access | None, entry: Entry) -> _Look:
    described = _describe(folder, entry)
    whole = folder.find(entry.name)
    if whole is None:
        there = folder.path(entry.name).is_file()
        return _Look(described, None, "it was written to since it came, or its record is damaged" if there else "its file is gone")
    look = _Look(described, whole, _damage(whole))
    if look.wrong is not None and folder.find(entry.name) != whole:  # it was replaced meanwhile
        return _look_at(folder, access, entry)
    return look if look.wrong is not None or access is None else _ask_source(look, whole, access)


def _damage(whole: Whole) -> str | None:
    if whole.record.sums is not None:
        return None if sums_of(whole.path) == whole.record.sums else "its bytes fail their checksum"
    try:
        with closing(read_raw(Inputs(urls=[whole.path]), Report())) as samples:
            for _ in samples:
                pass
    except WdsError as error:
        return f"it cannot be read to its end: {error.message}"
    return None


def _ask_source(look: _Look, whole: Whole, access: Access) -> _Look:
    url = whole.record.url
    if scheme_of(url) == "pipe":
        return replace(look, unasked=f"{url}: a command is not run for that")
    try:
        total = run_on_own_loop(partial(_size_at_source, url, whole.record.identity, access))
    except ChangedError:
        return replace(look, wrong="the source has another version")
    except AccessError as error:  # also of urls whose signature is not kept
        return replace(look, unasked=str(error))
    except NotFoundError:
        return replace(look, wrong="the source does not have it any more")
    except (FetchError, SpecError) as error:
        return replace(look, unasked=str(error))
    return look if total in (None, whole.record.size) else replace(look, wrong=f"the source has another version, of {total} bytes")


async def _size_at_source(url: str, identity: str | None, access: Access) -> int | None:
    fetcher = open_storage(access, Counters())
    try:
        async with fetcher.open(ObjectRange(url, 0, 1, identity)) as body:
            return body.answer.total
    finally:
        await fetcher.aclose()


def _describe(folder: CacheFolder, entry: Entry) -> CacheEntry:
    return CacheEntry(entry.name, entry.size, entry.used / 1e9, folder.url(entry), entry.part)


def _call(function: Callable[[], T]) -> T:
    """What it returns, once nobody else has the folder locked; its OSErrors as CacheErrors."""

    async def call() -> T:
        threads = CacheThreads(PATIENCE)
        try:
            return await threads.run_locked(function)
        finally:
            threads.close()

    return run_on_own_loop(call)
