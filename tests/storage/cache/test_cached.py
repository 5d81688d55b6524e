"""What comes from the cache, what from the source, and what is kept."""

from __future__ import annotations

import asyncio
import os
import zlib
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import pytest

from asyncwds.errors import ChangedError, FetchError, NotFoundError, SpecError
from asyncwds.runtime import MiB
from asyncwds.storage import MemoryFetcher, ObjectRange, PassedOn, is_shard_file
from asyncwds.storage.cache.downloads import MOST
from asyncwds.testing import make_samples, make_shard, read

OTHER = make_shard(make_samples(40, size=100_000, fields=["bin"], seed=1))  # as large as the first one


async def keep(caches, **cache) -> None:
    """Has the shard kept."""
    cached = caches.new(**cache)
    assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()


@pytest.mark.parametrize("source", [{}, {"ranged": False}, {"ranged": False, "sized": False}], ids=str)
async def test_what_was_read_once_comes_from_a_file(caches, source):
    first = caches.new(source)
    answer, data = await read(first, caches.url)
    assert (data, answer.path) == (caches.shard, None)
    assert (caches.counters.bytes, caches.counters.cached) == (len(caches.shard), 0)
    await first.aclose()
    assert caches.file().read_bytes() == caches.shard
    assert caches.index() == [f"{caches.file().name}.json"]

    untouched = caches.source()
    second = caches.new(untouched)
    answer, data = await read(second, caches.url, 1000, 3 * MiB)
    assert (answer.start, answer.total, answer.ranged, answer.path) == (1000, len(caches.shard), True, str(caches.file()))
    assert data == caches.shard[1000 : 3 * MiB]
    assert (caches.counters.bytes, caches.counters.cached, untouched._counters.requests) == (len(data), len(data), 0)


async def test_local_files_and_standard_input_pass_through(caches, tmp_path):
    (tmp_path / "local.tar").write_bytes(b"data")
    caches.objects.update({"local.tar": b"data", "file:local.tar": b"data", "-": b"data"})
    cached = caches.new()
    for url in ("local.tar", "file:local.tar", "-"):
        assert (await read(cached, url))[1] == b"data"
    assert not caches.folder.exists()


async def test_parts_that_come_in_any_order_make_a_shard(caches):
    cached = caches.new()
    size = len(caches.shard)
    edges = [0, 100, MiB, 3 * MiB + 7, size]
    parts = list(pairwise(edges))
    identity = (await read(cached, caches.url, 100, MiB))[0].identity
    found = await asyncio.gather(*(read(cached, caches.url, start, stop, identity) for start, stop in reversed(parts)))
    assert b"".join(data for _, data in reversed(found)) == caches.shard
    await cached.aclose()
    assert caches.file().read_bytes() == caches.shard


async def test_the_consumer_has_bytes_before_the_shard_is_there(caches):
    arrived = asyncio.Event()

    async def steer(url: str, offset: int | None) -> None:
        if offset is not None and offset >= 2 * MiB:
            await arrived.wait()

    cached = caches.new({"steer": steer})
    async with cached.open(ObjectRange(caches.url)) as body:
        size = 0
        async for chunk in body:
            size += len(chunk)
            if size >= 2 * MiB:
                arrived.set()
    assert size == len(caches.shard)


async def test_what_was_fetched_before_an_end_is_not_fetched_again(caches):
    first = caches.new()
    async with first.open(ObjectRange(caches.url, 0, 3 * MiB)) as body:
        async for _ in body:
            if caches.counters.bytes > 2 * MiB:
                break
    await first.aclose()
    fetched = caches.counters.bytes
    assert caches.files() == []

    second = caches.new()
    assert (await read(second, caches.url))[1] == caches.shard
    # A byte tells that the object is still the same; the last MiB may not have been written.
    assert len(caches.shard) - caches.counters.cached <= len(caches.shard) - fetched + MiB
    assert caches.counters.cached >= MiB
    await second.aclose()
    assert caches.file().read_bytes() == caches.shard


@pytest.mark.parametrize("replaced", ["the source", "nothing"])
async def test_a_download_of_an_object_that_was_replaced_begins_anew(caches, replaced):
    first = caches.new()
    await read(first, caches.url, 0, MiB)
    await first.aclose()
    if replaced == "the source":
        caches.objects[caches.url] = OTHER
    second = caches.new()
    assert (await read(second, caches.url))[1] == caches.objects[caches.url]
    await second.aclose()
    assert caches.file().read_bytes() == caches.objects[caches.url]


async def test_an_object_that_is_replaced_under_way_is_an_error_and_never_a_splice(caches):
    cached = caches.new()
    answer, _ = await read(cached, caches.url, 0, MiB)
    caches.objects[caches.url] = OTHER
    with pytest.raises(ChangedError):
        await read(cached, caches.url, MiB, 2 * MiB, answer.identity)
    assert (await read(cached, caches.url))[1] == OTHER
    await cached.aclose()
    assert caches.file().read_bytes() == OTHER


async def test_a_cached_shard_is_used_without_asking_the_source(caches):
    await keep(caches)
    caches.objects[caches.url] = OTHER
    assert (await read(caches.new(), caches.url))[1] == caches.shard
    del caches.objects[caches.url]
    assert (await read(caches.new(), caches.url))[1] == caches.shard


async def test_revalidation_asks_the_source_once(caches):
    await keep(caches)
    cached = caches.new(revalidate=True)
    for start in (0, MiB, 2 * MiB):
        assert (await read(cached, caches.url, start, start + MiB))[1] == caches.shard[start : start + MiB]
    assert caches.counters.requests == 3 + 1
    caches.objects[caches.url] = OTHER
    cached = caches.new(revalidate=True)
    assert (await read(cached, caches.url))[1] == OTHER
    await cached.aclose()
    assert (await read(caches.new(), caches.url))[1] == OTHER
    del caches.objects[caches.url]
    with pytest.raises(NotFoundError):
        await read(caches.new(revalidate=True), caches.url)


async def test_without_a_size_there_is_nothing_to_revalidate_by(caches):
    stream = {"ranged": False, "sized": False}
    first = caches.new(stream)
    await read(first, caches.url)
    await first.aclose()
    second = caches.new(stream, revalidate=True)
    await read(second, caches.url)
    assert second._health.writable


async def test_equal_last_parts_do_not_collide(caches):
    other = "memory://host/val/a.tar"
    caches.objects[other] = OTHER
    cached = caches.new()
    await read(cached, caches.url)
    await read(cached, other)
    await cached.aclose()
    assert len(caches.files()) == 2
    again = caches.new()
    assert (await read(again, caches.url))[1] == caches.shard
    assert (await read(again, other))[1] == OTHER


async def test_a_users_name_is_honoured(caches):
    await keep(caches, url_to_name=lambda url: "sub/mine.tar")
    assert caches.file() == caches.folder / "sub" / "mine.tar"
    with pytest.raises(SpecError):
        await read(caches.new(url_to_name=lambda url: "../mine.tar"), caches.url)


async def test_two_objects_with_one_name_are_told_apart(caches):
    """A basename for a name, as webdataset's: train/000.tar and val/000.tar."""
    other = "memory://host/val/a.tar"
    caches.objects[other] = OTHER
    cached = caches.new(url_to_name=lambda url: "a.tar")
    for url in (caches.url, other, caches.url, other):
        assert (await read(cached, url))[1] == caches.objects[url]
    both = await asyncio.gather(read(cached, caches.url), read(cached, other))
    assert [data for _, data in both] == [caches.shard, OTHER]


async def test_one_object_with_two_urls_and_one_name_is_fetched_once(caches):
    """A mirror, or a signature that differs from day to day."""
    await keep(caches, url_to_name=lambda url: "a.tar")
    signed = f"{caches.url}?signature=abc"
    caches.objects[signed] = caches.shard
    cached = caches.new(url_to_name=lambda url: "a.tar")
    for start in (0, MiB):
        await read(cached, signed, start, start + MiB)
    assert caches.counters.requests == 2 + 1
    caches.objects[signed] = OTHER
    assert (await read(caches.new(url_to_name=lambda url: "a.tar"), signed))[1] == OTHER


async def test_a_file_that_others_have_put_there_is_taken_if_its_size_is_right(caches):
    caches.folder.mkdir()
    (caches.folder / "a.tar").write_bytes(caches.shard)
    cached = caches.new(url_to_name=lambda url: "a.tar")
    answer, data = await read(cached, caches.url)
    assert (data, answer.path) == (caches.shard, str(caches.folder / "a.tar"))
    assert caches.counters.cached == len(caches.shard)
    await cached.aclose()

    (caches.folder / "b.tar").write_bytes(b"something else")
    assert (await read(caches.new(url_to_name=lambda url: "b.tar"), caches.url))[1] == caches.shard


async def test_what_is_no_archive_is_not_kept(caches):
    caches.objects[caches.url] = b"<html>not found</html>" * 1000
    cached = caches.new(validator=is_shard_file)
    assert (await read(cached, caches.url))[1] == caches.objects[caches.url]
    await cached.aclose()
    assert (caches.files(), caches.index(), caches.counters.cache_failures) == ([], [], 0)
    caches.objects[caches.url] = caches.shard
    cached = caches.new(validator=is_shard_file)
    assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()
    assert caches.file().read_bytes() == caches.shard


async def test_a_shard_larger_than_the_cache_passes_through(caches):
    cached = caches.new(size=MiB)
    with pytest.warns(UserWarning, match="there is no room for 4"):
        assert (await read(cached, caches.url))[1] == caches.shard
    small = "memory://host/small.tar"
    caches.objects[small] = b"data"
    await read(cached, small)
    await cached.aclose()
    assert [path.read_bytes() for path in caches.files()] == [b"data"]
    assert caches.counters.cache_failures == 1


async def test_a_stream_larger_than_the_cache_passes_through(caches):
    cached = caches.new({"ranged": False, "sized": False}, size=MiB)
    with pytest.warns(UserWarning, match="there is no room"):
        assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()
    assert (caches.files(), caches.index()) == ([], [])


async def test_the_bound_holds_over_many_shards(caches):
    urls = [f"memory://host/{number}.tar" for number in range(12)]
    caches.objects.update(dict.fromkeys(urls, os.urandom(MiB)))
    for url in urls:
        cached = caches.new(size=5 * MiB + 100)
        await read(cached, url)
        await cached.aclose()  # what is on its way to the disk cannot be removed
        assert sum(path.stat().st_size for path in caches.folder.rglob("*") if path.suffix in (".tar", ".part")) <= 5 * MiB + 100
    assert len(caches.files()) == 5


@pytest.mark.parametrize("source", [{}, {"ranged": False}], ids=str)
async def test_errors_of_the_source_reach_the_reader_and_the_next_may_try_again(caches, source):
    broken = True

    async def steer(url: str, offset: int | None) -> None:
        if offset is not None and offset >= 2 * MiB and broken:
            raise FetchError("the connection broke", url=url, offset=offset)

    cached = caches.new({"steer": steer, **source})
    with pytest.raises(FetchError, match="broke"):
        await read(cached, caches.url)
    broken = False
    assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()
    assert caches.file().read_bytes() == caches.shard


async def test_two_in_one_process_fetch_once(caches):
    counted = caches.source()
    both = [caches.new(counted), caches.new(counted)]
    found = await asyncio.gather(*(read(cached, caches.url) for cached in both))
    assert [data for _, data in found] == [caches.shard] * 2
    assert counted._counters.bytes == len(caches.shard)


async def test_a_stream_is_not_held_up_by_a_consumer_that_pauses(caches):
    slow, quick = caches.new({"ranged": False, "sized": False}), caches.new()
    async with slow.open(ObjectRange(caches.url)) as body:
        await anext(aiter(body))
        assert (await read(quick, caches.url))[1] == caches.shard
    assert caches.counters.bytes == caches.counters.cached == len(caches.shard)


@pytest.mark.parametrize("source", [{}, {"ranged": False}], ids=str)
async def test_who_fetches_nothing_any_more_is_not_waited_for(caches, source):
    async def steer(url: str, offset: int | None) -> None:
        if offset is not None and offset >= 2 * MiB:
            await asyncio.Event().wait()

    stuck = caches.new({"steer": steer, **source})
    waiter = caches.new(patience=0.3)
    async with stuck.open(ObjectRange(caches.url, 0, 3 * MiB)) as body:
        reading = asyncio.create_task(_drain(body))
        assert (await read(waiter, caches.url, 0, 3 * MiB))[1][: 3 * MiB] == caches.shard[: 3 * MiB]
        reading.cancel()
        await asyncio.wait([reading])


async def test_a_slow_part_can_be_split(caches):
    """The second half of what another body fetches is fetched at once; the first body's claim does not stand in the way."""
    slow_down, goes_on = asyncio.Event(), asyncio.Event()

    async def steer(url: str, offset: int | None) -> None:
        if offset is not None and MiB <= offset < 2 * MiB:
            slow_down.set()
            await goes_on.wait()

    cached = caches.new({"steer": steer})
    answer, _ = await read(cached, caches.url, 0, 1)
    slow = asyncio.create_task(read(cached, caches.url, 0, 4 * 10**6, answer.identity))
    await slow_down.wait()
    for start, stop in ((3 * MiB, 4 * 10**6), (2 * MiB, 3 * MiB)):
        assert (await read(cached, caches.url, start, stop, answer.identity))[1] == caches.shard[start:stop]
    goes_on.set()
    assert (await slow)[1] == caches.shard[: 4 * 10**6]
    assert caches.counters.bytes - caches.counters.cached < 4 * 10**6 + MiB


async def test_many_small_shards_do_not_pile_up_on_their_way_to_the_disk(caches):
    urls = [f"memory://host/{number}.tar" for number in range(200)]
    caches.objects.update(dict.fromkeys(urls, b"data"))
    cached = caches.new()
    for url in urls:
        await read(cached, url)
        assert len(cached._partials._publishing) <= MOST
    await cached.aclose()
    assert len(caches.files()) == len(urls)


async def test_a_close_that_is_interrupted_leaves_nothing(caches):
    cached = caches.new()
    await read(cached, caches.url)
    closing = asyncio.create_task(cached.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await cached.aclose()
    await keep(caches)


@pytest.mark.parametrize("size", [300_000, 3 * MiB - 1])
async def test_what_came_before_a_cancellation_is_kept(caches, size):
    """Cancelled at the last moment, while the rest of it is written."""
    cached = caches.new(source := caches.source())
    answer, _ = await read(cached, caches.url, size, size + 1)

    async def interrupted() -> None:
        async with cached.open(ObjectRange(caches.url, 0, size, answer.identity)) as body:
            received = 0
            async for chunk in body:
                received += len(chunk)
                if received == size:
                    asyncio.current_task().cancel()
                    break

    async with cached.open(ObjectRange(caches.url, size + 1, None, answer.identity)):  # or all claims would end with the last body
        reading = asyncio.create_task(interrupted())
        await asyncio.wait([reading])
        assert reading.cancelled()
        requests = source._counters.requests
        assert (await read(cached, caches.url, 0, size, answer.identity))[1] == caches.shard[:size]
        assert source._counters.requests == requests


async def test_who_gets_no_answer_is_not_waited_for(caches):
    async def steer(url: str, offset: int | None) -> None:
        await asyncio.Event().wait()

    stuck = caches.new({"steer": steer})
    reading = asyncio.create_task(read(stuck, caches.url))
    await asyncio.sleep(0.1)
    assert (await read(caches.new(patience=0.3), caches.url))[1] == caches.shard
    reading.cancel()
    await asyncio.wait([reading])


async def test_who_comes_late_leaves_the_shard_alone(caches):
    """A process that was suspended may have bytes to write that others have fetched meanwhile."""
    late, goes_on = asyncio.Event(), asyncio.Event()

    async def steer(url: str, offset: int | None) -> None:
        if offset is not None and offset >= 2 * MiB:
            late.set()
            await goes_on.wait()

    suspended = caches.new({"steer": steer})
    reading = asyncio.create_task(read(suspended, caches.url))
    await late.wait()
    other = caches.new(patience=0.1)
    assert (await read(other, caches.url))[1] == caches.shard
    await other.aclose()
    kept = caches.file().stat().st_mtime_ns
    goes_on.set()
    assert (await reading)[1] == caches.shard
    assert caches.file().stat().st_mtime_ns == kept


async def _drain(body) -> None:
    async for _ in body:
        pass


async def test_verbose_says_what_is_kept_and_removed(caches, capfd):
    await keep(caches, verbose=True)
    caches.objects["memory://host/b.tar"] = OTHER
    cached = caches.new(verbose=True, size=len(OTHER))
    await read(cached, "memory://host/b.tar")
    await cached.aclose()
    said = capfd.readouterr().err.splitlines()
    assert [line.split()[3] for line in said] == ["keeps", "removes", "keeps"]
    assert caches.url in said[0]


async def test_secrets_stay_out_of_the_folder(caches):
    secret = "memory://user:hunter2@host/a.tar?X-Amz-Signature=hunter2"
    caches.objects[secret] = caches.shard
    cached = caches.new()
    await read(cached, secret, 0, 10)
    assert b"hunter2" not in b"".join(path.read_bytes() for path in caches.folder.rglob("*.ranges"))
    await read(cached, secret)
    await cached.aclose()
    assert b"hunter2" not in b"".join(path.read_bytes() for path in caches.folder.rglob("*.json"))
    assert "hunter2" not in str(list(caches.folder.rglob("*")))


@pytest.mark.parametrize("sure", [True, False])
async def test_what_goes_through_a_cache_has_the_stores_checksum_unless_it_may_be_that_of_a_range(caches, sure):
    class Telling(MemoryFetcher):
        @asynccontextmanager
        async def open(self, wanted, *, buffer=None):
            async with super().open(wanted, buffer=buffer) as body:
                yield PassedOn(replace(body.answer, checksum="crc32:00000000", checksum_is_sure=sure), body)

    cached = caches.new(Telling(caches.objects))
    answers = [(await read(cached, caches.url, start, start + MiB))[0] for start in (0, MiB)]
    assert [answer.checksum for answer in answers] == (["crc32:00000000"] * 2 if sure else [None, None])


@pytest.mark.parametrize("right", [True, False])
async def test_a_shard_with_another_checksum_than_the_stores_is_not_kept(caches, right):
    class Telling(MemoryFetcher):
        @asynccontextmanager
        async def open(self, wanted, *, buffer=None):
            async with super().open(wanted, buffer=buffer) as body:
                checksum = f"crc32:{zlib.crc32(caches.shard if right else caches.shard[1:]):08x}"
                yield PassedOn(replace(body.answer, checksum=checksum), body)

    cached = caches.new(Telling(caches.objects))
    for start in (0, 2 * MiB):
        await read(cached, caches.url, start, start + 2 * MiB)
    await cached.aclose()
    assert len(caches.files()) == right
    assert right or caches.index() == []


async def test_a_shard_that_is_distrusted_is_fetched_anew(caches):
    cached = caches.new()
    await read(cached, caches.url)
    cached.distrust(caches.url)  # while it is still on its way to the disk
    await cached.aclose()
    assert (caches.files(), caches.index()) == ([], [])
    cached = caches.new()
    assert (await read(cached, caches.url))[1] == caches.shard
    await cached.aclose()
    assert caches.counters.cached == 0
    assert caches.file().read_bytes() == caches.shard
