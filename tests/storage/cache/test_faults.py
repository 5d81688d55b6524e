"""Numbers are those of the list of faults: 26 a flipped byte, 29 a full disk, 30 files that change while open, 33 clocks."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from asyncwds.errors import CacheError, ChangedError
from asyncwds.runtime import KiB, MiB
from asyncwds.storage import CacheFolder, ObjectRange
from asyncwds.storage.cache.journal import Journal, header_line, span_line
from asyncwds.testing import make_samples, make_shard, read

OTHER = make_shard(make_samples(40, size=100_000, fields=["bin"], seed=1))  # as large as the first one
WARNING = "reading goes on without the cache in "


async def keep(caches, **cache) -> Path:
    cached = caches.new(**cache)
    assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()
    return caches.file()


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Writes behind `size` [bytes] fail, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of 3 MiB; None where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False)
    yield folder if mounted.returncode == 0 else None
    if mounted.returncode == 0:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions count, for root too."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("source", [{}, {"ranged": False}, {"ranged": False, "sized": False}], ids=str)
async def test_29_a_disk_that_is_full_from_the_beginning(caches, source):
    cached = caches.new(source)
    with no_file_beyond(MiB):
        with pytest.warns(UserWarning, match=WARNING) as warned:
            assert (await read(cached, caches.url))[1] == caches.shard
        assert (await read(cached, caches.url))[1] == caches.shard
    assert (len(warned), caches.counters.cache_failures) == (1, 1)
    await cached.aclose()
    assert (caches.files(), caches.index()) == ([], [])
    await keep(caches)


@pytest.mark.parametrize("buffer", [0, 4_200_000], ids=["bytes", "views of a buffer"])
async def test_29_a_disk_that_fills_up_under_way(caches, buffer):
    disk = ExitStack()

    async def steer(url: str, offset: int | None) -> None:
        if offset == 20 * 64 * KiB and not caches.counters.cache_failures:
            disk.enter_context(no_file_beyond(2 * MiB))

    cached = caches.new({"steer": steer})
    with disk, pytest.warns(UserWarning, match=WARNING) as warned:
        assert (await read(cached, caches.url, lent=buffer))[1] == caches.shard
    assert len(warned) == 1
    assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()
    assert (caches.files(), caches.index()) == ([], [])
    await keep(caches)


async def test_29_a_disk_without_room(caches, tiny_disk):
    """A real one where that can be made, else as above."""
    if tiny_disk is None:
        await test_29_a_disk_that_fills_up_under_way(caches, 0)
        return
    caches.folder = tiny_disk / "cache"
    small = "memory://host/small.tar"
    caches.objects[small] = os.urandom(MiB)
    cached = caches.new()
    assert (await read(cached, small))[1] == caches.objects[small]
    with pytest.warns(UserWarning, match=f"{WARNING}.*No space left on device"):
        assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()
    assert caches.file().read_bytes() == caches.objects[small]
    caches.objects.clear()
    cached = caches.new()
    assert len((await read(cached, small))[1]) == MiB
    await cached.aclose()


async def test_29_a_disk_without_room_for_the_folder(caches, tiny_disk):
    if tiny_disk is None:  # then such a folder cannot be made by anybody
        return
    (tiny_disk / "full").write_bytes(bytes(3 * MiB))
    caches.folder = tiny_disk / "cache"
    cached = caches.new()
    with pytest.warns(UserWarning, match=WARNING):
        assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()


async def test_29_a_folder_that_may_only_be_read(caches):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own may not be entered by others
        caches.folder = Path(folder) / "cache"
        await keep(caches)
        caches.objects["memory://host/b.tar"] = OTHER
        for path in (Path(folder), caches.folder, caches.folder / ".asyncwds"):
            path.chmod(0o555)
        try:
            with unprivileged():
                cached = caches.new()
                assert (await read(cached, caches.url))[1] == caches.shard
                assert (caches.counters.cached, caches.counters.cache_failures) == (len(caches.shard), 0)
                with pytest.warns(UserWarning, match=f"{WARNING}.*Permission denied"):
                    assert (await read(cached, "memory://host/b.tar"))[1] == OTHER
                assert (await read(cached, caches.url))[0].path is not None
                await cached.aclose()
        finally:
            for path in (Path(folder), caches.folder, caches.folder / ".asyncwds"):
                path.chmod(0o755)


@pytest.mark.parametrize("place", ["/dev/null", "/dev/null/cache", "/proc/cache"])
async def test_29_no_folder_at_all_is_an_error(caches, place):
    caches.folder = Path(place)
    cached = caches.new()
    for _ in range(2):
        with pytest.raises(CacheError, match="cannot be used"):
            await read(cached, caches.url)


async def test_29_a_folder_that_is_locked_for_ever_is_not_waited_for(caches):
    cached = caches.new(patience=0.2)
    await read(cached, caches.url, 0, 10)
    await cached.aclose()
    other = CacheFolder(cached._cache)
    with other.locked():
        cached = caches.new(patience=0.2)
        with pytest.warns(UserWarning, match="has kept the cache locked for 0.2 s"):
            assert (await read(cached, caches.url))[1] == caches.shard
        await cached.aclose()
    await keep(caches)


async def test_29_a_download_opens_both_of_its_files_or_neither(caches):
    name = (await keep(caches)).relative_to(caches.folder)
    caches.folder = caches.folder.with_name("other")
    (caches.folder / ".asyncwds" / f"{name}.ranges").mkdir(parents=True)  # can't be opened, as where no descriptor is left
    cached = caches.new()
    with pytest.warns(UserWarning, match=f"{WARNING}.*Is a directory"):
        assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()


CHANGES = {
    "truncated": lambda path: os.truncate(path, MiB),
    "truncated to nothing": lambda path: os.truncate(path, 0),
    "deleted": lambda path: path.unlink(),
    "written to": lambda path: path.write_bytes(path.read_bytes()[:-5] + b"other"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_30_a_file_that_changes_between_parts(caches, change):
    path = await keep(caches)
    cached = caches.new()
    answer, data = await read(cached, caches.url, 0, 2 * MiB)
    change(path)
    rest = (await read(cached, caches.url, 2 * MiB, None, answer.identity))[1]
    assert data + rest == caches.shard
    await cached.aclose()
    if not path.is_dir():
        await keep(caches)


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("change", ["truncated", "truncated to nothing", "deleted"])
async def test_30_a_file_that_changes_while_it_is_read(caches, change, checksums):
    path = await keep(caches, checksums=checksums)
    cached = caches.new()
    found = b""
    async with cached.open(ObjectRange(caches.url)) as body:
        async for chunk in body:
            if not found:
                CHANGES[change](path)
            found += chunk
    assert found == caches.shard
    assert caches.counters.cache_failures == (0 if change == "deleted" else 1)
    await cached.aclose()
    await keep(caches)


async def test_30_a_file_is_evicted_while_it_is_read(caches):
    await keep(caches)
    caches.objects["memory://host/b.tar"] = OTHER
    reader, other = caches.new(), caches.new(size=len(OTHER))
    async with reader.open(ObjectRange(caches.url)) as body:
        found = await anext(aiter(body))
        await read(other, "memory://host/b.tar")
        await other.aclose()
        assert [path.read_bytes() for path in caches.files()] == [OTHER]
        async for chunk in body:
            found += chunk
    assert found == caches.shard
    assert (await read(reader, caches.url, 100, 200, body.answer.identity))[1] == caches.shard[100:200]


async def test_30_damage_that_cannot_be_repaired_is_an_error_and_never_a_splice(caches):
    path = await keep(caches)
    cached = caches.new()
    caches.objects[caches.url] = OTHER
    with pytest.raises(ChangedError):
        async with cached.open(ObjectRange(caches.url)) as body:
            async for _ in body:
                os.truncate(path, MiB)


@pytest.mark.parametrize("source", [{}, {"ranged": False}], ids=str)
async def test_30_a_download_that_is_truncated_while_it_is_read(caches, source):
    first = caches.new(source)
    await read(first, caches.url, 0, 3 * MiB)
    if source:
        return  # it was whole, and is a shard by now
    [part] = caches.folder.rglob("*.part")
    async with caches.new().open(ObjectRange(caches.url, 0, 3 * MiB)) as body:
        chunks = aiter(body)
        found = await anext(chunks)
        os.truncate(part, MiB)
        with pytest.warns(UserWarning, match="truncated while it was read"):
            found += await anext(chunks)
        found += b"".join([chunk async for chunk in chunks])
    assert found == caches.shard[: 3 * MiB]


async def test_30_the_folder_is_removed_while_it_is_used(caches):
    cached = caches.new()
    answer, data = await read(cached, caches.url, 0, MiB)
    shutil.rmtree(caches.folder)
    rest = (await read(cached, caches.url, MiB, None, answer.identity))[1]
    assert data + rest == caches.shard
    await cached.aclose()
    await keep(caches)


async def test_26_a_flipped_byte_with_checksums(caches):
    path = await keep(caches, checksums=True)
    flipped = bytearray(caches.shard)
    flipped[3 * MiB + 5] ^= 1
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(flipped)
    os.utime(path, ns=times)
    cached = caches.new()
    assert (await read(cached, caches.url, 0, MiB))[1] == caches.shard[:MiB]
    assert caches.counters.cache_failures == 0
    assert (await read(cached, caches.url, 3 * MiB + 1, None))[1] == caches.shard[3 * MiB + 1 :]
    assert caches.counters.cache_failures == 1
    await cached.aclose()
    assert caches.files() == []
    await keep(caches)


async def test_26_a_flipped_byte_of_a_disk_without_checksums_needs_the_old_time(caches):
    """What a file's time tells: somebody has written to it. What only checksums tell: the disk itself has changed it."""
    path = await keep(caches)
    path.write_bytes(caches.shard[:-1] + b"x")
    assert (await read(caches.new(), caches.url))[1] == caches.shard


@pytest.mark.parametrize("checksums", [False, True])
async def test_parts_of_files_with_checksums_are_those_that_were_asked_for(caches, checksums):
    await keep(caches, checksums=checksums)
    size = len(caches.shard)
    cached = caches.new()
    for start in (0, 1, MiB - 1, MiB, MiB + 1, size - 1, size):
        for stop in (start, start + 1, MiB, 2 * MiB, 2 * MiB + 1, size, size + 5, None):
            assert (await read(cached, caches.url, start, stop))[1] == caches.shard[start : stop or size if stop != 0 else 0]


@pytest.mark.parametrize("what", ["another boot", "another size", "no header", "no journal"])
async def test_a_download_that_may_not_have_reached_the_disk_begins_anew(caches, what):
    """After a power failure there may be zeros where the journal says that there are bytes."""
    cached = caches.new()
    await read(cached, caches.url, 0, 2 * MiB)
    await cached.aclose()
    [part] = caches.folder.rglob("*.part")
    [lines] = caches.folder.rglob("*.ranges")
    journal = Journal()
    journal.absorb(0, lines.read_bytes())
    assert journal.header is not None
    header = journal.header
    size = len(caches.shard)
    match what:
        case "another boot":
            lines.write_bytes(header_line(replace(header, boot="other")) + span_line(0, 2 * MiB))
        case "another size":
            size -= 1
        case "no header":
            lines.write_bytes(span_line(0, 2 * MiB))
        case "no journal":
            lines.unlink()
    part.write_bytes(bytes(size))
    await keep(caches)


async def test_33_a_clock_that_jumps_does_not_hurt_readers(caches):
    """The order of use over jumps is tested with the folder; here a time in the far future is on everything."""
    await keep(caches)
    for path in caches.folder.rglob("*.json"):
        os.utime(path, ns=(2**62, 2**62))
    os.utime(caches.folder / ".asyncwds" / "clock", ns=(2**62, 2**62))
    caches.objects["memory://host/b.tar"] = OTHER
    cached = caches.new(size=len(OTHER))
    assert (await read(cached, "memory://host/b.tar"))[1] == OTHER
    await cached.aclose()
    assert caches.file().read_bytes() == OTHER
