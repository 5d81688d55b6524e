"""Uploads in parts, into a store in memory that fails and waits as told."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest

from asyncwds.errors import FetchError, NotFoundError, SpecError
from asyncwds.storage.stores.upload import AT_ONCE, MultipartUpload

DATA = bytes(range(256)) * 8
URL = "s3://bucket/a.tar"


class Store:
    """Keeps objects, and the parts of uploads that are neither complete nor cancelled."""

    most_parts = 100

    def __init__(self, part_bytes: int = 100) -> None:
        self.part_bytes = part_bytes
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.fail: Callable[[str, int], None] = lambda _what, _number: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = self.most_under_way = 0

    async def put(self, url: str, data: bytes) -> None:
        self.fail("put", 0)
        self.objects[url] = data

    async def begin(self, url: str) -> str:
        await self.gate.wait()
        self.fail("begin", 0)
        upload = f"upload {len(self.uploads)} of {url}"
        self.uploads[upload] = {}
        return upload

    async def put_part(self, _url: str, upload: str, number: int, data: bytes) -> str:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
            await asyncio.sleep(0.001 * (number % 3))
            self.fail("part", number)
            self.uploads[upload][number] = data
        finally:
            self.under_way -= 1
        return f"tag {number}"

    async def complete(self, url: str, upload: str, tags: Sequence[str], size: int) -> None:
        self.fail("complete", 0)
        assert list(tags) == [f"tag {number}" for number in range(1, len(tags) + 1)]
        parts = self.uploads.pop(upload)
        assert {len(part) for number, part in parts.items() if number < len(parts)} <= {self.part_bytes}
        self.objects[url] = b"".join(parts[number] for number in sorted(parts))
        assert len(self.objects[url]) == size

    async def cancel(self, _url: str, upload: str) -> None:
        self.fail("cancel", 0)
        del self.uploads[upload]


def failing(what: str, number: int = 0, kind: type[FetchError] = FetchError) -> Callable[[str, int], None]:
    def fail(step: str, part: int) -> None:
        if (step, part) == (what, number):
            raise kind(f"{what} {number} failed", url=URL)

    return fail


async def write(upload: MultipartUpload, data: bytes, piece: int) -> None:
    for start in range(0, len(data), piece):
        await upload.write(data[start : start + piece])


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 201, 1000, 2048])
@pytest.mark.parametrize("piece", [7, 100, 333, 4000])
async def test_whole_objects(size: int, piece: int) -> None:
    store = Store()
    upload = MultipartUpload(store, URL)
    await write(upload, DATA[:size], piece)
    assert not store.objects
    await upload.commit()
    await upload.abort()
    assert store.objects == {URL: DATA[:size]}
    assert not store.uploads
    assert store.most_under_way <= AT_ONCE


async def test_parts_go_out_at_once_and_writing_waits_for_room() -> None:
    store = Store()
    upload = MultipartUpload(store, URL)
    await upload.write(DATA[:101])
    store.gate.clear()
    writing = asyncio.create_task(write(upload, DATA, 100))
    while store.under_way < AT_ONCE:  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert not writing.done()
    assert store.under_way == AT_ONCE
    store.gate.set()
    await writing
    await upload.commit()
    assert store.objects[URL] == DATA[:101] + DATA


@pytest.mark.parametrize(("what", "number"), [("begin", 0), ("part", 1), ("part", 5), ("part", 21), ("complete", 0)])
async def test_a_step_that_fails_leaves_nothing(what: str, number: int) -> None:
    store = Store()
    store.fail = failing(what, number)
    upload = MultipartUpload(store, URL)
    with pytest.raises(FetchError, match=f"{what} {number} failed"):
        await write(upload, DATA, 64)
        await upload.commit()
    await upload.abort()
    await upload.abort()
    assert not store.objects
    assert not store.uploads


async def test_a_small_object_that_fails() -> None:
    store = Store()
    store.fail = failing("put")
    upload = MultipartUpload(store, URL)
    await upload.write(b"data")
    with pytest.raises(FetchError, match="put 0 failed"):
        await upload.commit()
    await upload.abort()
    assert not store.objects


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_whoever_is_cancelled_can_abort(turns: int) -> None:
    store = Store()
    upload = MultipartUpload(store, URL)

    async def all_of_it() -> None:
        await write(upload, DATA, 64)
        await upload.commit()

    task = asyncio.create_task(all_of_it())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await upload.abort()
    assert not store.uploads
    assert bool(store.objects) == (not task.cancelled())


async def test_an_upload_that_is_just_begun_is_cancelled_too() -> None:
    """Its number comes only after the abort."""
    store = Store()
    store.gate.clear()
    upload = MultipartUpload(store, URL)
    writing = asyncio.create_task(upload.write(DATA))
    await asyncio.sleep(0)
    writing.cancel()
    aborting = asyncio.create_task(upload.abort())
    await asyncio.sleep(0.001)
    assert not aborting.done()
    store.gate.set()
    await aborting
    assert not store.uploads


async def test_an_upload_whose_beginning_is_never_answered_can_be_given_up() -> None:
    store = Store()
    store.gate.clear()
    upload = MultipartUpload(store, URL)
    writing = asyncio.create_task(upload.write(DATA))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait_for(upload.abort(), 60)
    assert len(asyncio.all_tasks()) == 1


async def test_what_cannot_be_cancelled_is_told(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    upload = MultipartUpload(store, URL)
    await upload.write(DATA)
    store.fail = failing("cancel")
    await upload.abort()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("asyncwds.storage", logging.WARNING)
    assert URL in record.getMessage()


async def test_an_upload_that_is_gone_needs_no_cancelling(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    upload = MultipartUpload(store, URL)
    await upload.write(DATA)
    store.fail = failing("cancel", kind=NotFoundError)
    await upload.abort()
    assert not caplog.records


async def test_more_parts_than_the_store_takes() -> None:
    store = Store(part_bytes=10)
    upload = MultipartUpload(store, URL)
    with pytest.raises(SpecError, match="100 parts of 10 bytes.*part_bytes") as caught:
        await write(upload, DATA, 100)
    assert caught.value.url == URL
    await upload.abort()
    assert not store.uploads
