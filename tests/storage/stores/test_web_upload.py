"""Uploads: whole or not at all, tried again where that is safe, and errors that say what happened."""

import asyncio
import gc
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncwds import Http, Retry
from asyncwds.errors import AccessError, FetchError, FetchTimeoutError, NotFoundError, ThrottledError
from asyncwds.runtime import BlockingPool, MiB
from asyncwds.settings import Access
from asyncwds.storage import HttpSink, Spool, Upload
from asyncwds.testing import Fault, FaultServer, leaks

QUICK = Retry(tries=3, backoff=0.001, backoff_max=0.01, connect_timeout=2, stall_timeout=2)
IMPATIENT = Retry(tries=2, backoff=0.001, backoff_max=0.01, connect_timeout=1, stall_timeout=0.3)
DATA = os.urandom(5 * MiB + 17)
PIECES = [DATA[start : start + MiB] for start in range(0, len(DATA), MiB)]


@pytest.fixture
def bucket() -> Any:
    with FaultServer({}, writable=True) as server:
        yield server


@asynccontextmanager
async def opened(url: str, retry: Retry = QUICK, http: Http | None = None) -> AsyncIterator[Upload]:
    async with leaks():
        with BlockingPool("test") as thread:
            sink = HttpSink(Access(http or Http(), retry), thread)
            try:
                upload = await sink.open(url)
                try:
                    yield upload
                finally:
                    await upload.abort()
            finally:
                await sink.aclose()


async def send(url: str, pieces: list[bytes] = PIECES, retry: Retry = QUICK, http: Http | None = None) -> None:
    async with opened(url, retry, http) as upload:
        for piece in pieces:
            await upload.write(piece)
        await upload.commit()


def framings(server: FaultServer) -> list[str]:
    return ["chunked" if "transfer-encoding" in request.headers else "length" for request in server.requests]


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing tells when a server has seen it
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("pieces", "framing"),
    [(PIECES, "chunked"), ([DATA], "length"), ([b"x"], "length"), ([], "length")],
    ids=["large", "one piece", "small", "empty"],
)
async def test_an_object_arrives(bucket: FaultServer, pieces: list[bytes], framing: str) -> None:
    await send(bucket.url("a b/é.tar"), pieces)
    assert bucket.get("a b/é.tar") == b"".join(pieces)
    assert framings(bucket) == [framing]
    assert bucket.requests[0].headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("pieces", [PIECES, [DATA]], ids=["while_written", "when_complete"])
async def test_fault_01_a_server_that_is_away_and_comes_back(pieces: list[bytes]) -> None:
    with FaultServer({}, writable=True) as gone:
        url = gone.url("a")
    with BlockingPool("test") as thread:
        sink = HttpSink(Access(Http(), Retry(backoff=0.01, backoff_max=0.1)), thread)
        upload = await sink.open(url)
        for piece in pieces:
            await upload.write(piece)
        committing = asyncio.create_task(upload.commit())
        await asyncio.sleep(0.5)
        with FaultServer({}, writable=True, host=gone.host, port=gone.port) as server:
            await committing
            assert server.get("a") == DATA
        await sink.aclose()


async def test_it_goes_out_while_it_is_written(bucket: FaultServer) -> None:
    async with opened(bucket.url("a")) as upload:
        await upload.write(PIECES[0])
        await upload.write(PIECES[1])
        await until(lambda: bucket.counters.requests == 1)
        assert bucket.get("a") is None
        for piece in PIECES[2:]:
            await upload.write(piece)
        assert bucket.get("a") is None
        await upload.commit()
    assert bucket.get("a") == DATA


async def test_aborted_nothing_is_visible(bucket: FaultServer) -> None:
    bucket.put("a", b"old")
    async with opened(bucket.url("a")) as upload:
        for piece in PIECES:
            await upload.write(piece)
        await until(lambda: bucket.counters.requests == 1)
        await upload.abort()
        await upload.abort()
        await until(lambda: bucket.counters.open_connections == 0)
    assert bucket.get("a") == b"old"


async def test_dropped_nothing_is_visible(bucket: FaultServer) -> None:
    async with leaks():
        with BlockingPool("test") as thread:
            sink = HttpSink(Access(Http(), QUICK), thread)
            upload = await sink.open(bucket.url("a"))
            for piece in PIECES:
                await upload.write(piece)
            await until(lambda: bucket.counters.requests == 1)
            with pytest.warns(ResourceWarning) as warnings:  # noqa: PT031 - dropping it is what warns
                del upload
                await until(lambda: gc.collect() >= 0 and bucket.counters.open_connections == 0)
                await until(lambda: gc.collect() >= 0 and len(warnings) > 0)  # a thread may still read what is sent
            await sink.aclose()
    assert bucket.get("a") is None


@pytest.mark.parametrize("pieces", [PIECES, [b"small"]], ids=["large", "small"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503, retry_after=0),
        Fault(status=500),
        Fault(status=503, early=True, retry_after=0),
        Fault(close_without_answer=True),
        Fault(upload_reset_at=3),
        Fault(upload_reset_at=MiB),
        Fault(status=408),
    ],
    ids=str,
)
async def test_what_may_pass_is_tried_again_with_the_length(bucket: FaultServer, fault: Fault, pieces: list[bytes]) -> None:
    bucket.add(replace(fault, times=1))
    await send(bucket.url("a"), pieces)
    assert bucket.get("a") == b"".join(pieces)
    assert framings(bucket) == ["length" if pieces == [b"small"] else "chunked", "length"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=503, retry_after=0), ThrottledError),
        (Fault(status=500), FetchError),
        (Fault(upload_reset_at=3), FetchError),
        (Fault(close_without_answer=True), FetchError),
    ],
    ids=str,
)
async def test_what_does_not_pass_is_given_up(bucket: FaultServer, fault: Fault, error: type[FetchError]) -> None:
    bucket.add(fault)
    with pytest.raises(error) as caught:
        await send(bucket.url("a"))
    assert (caught.value.url, caught.value.attempts) == (bucket.url("a"), 3)
    assert bucket.get("a") is None
    assert bucket.counters.requests == 3


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("pieces", [PIECES, [b"small"]], ids=["large", "small"])
@pytest.mark.parametrize(
    ("status", "error"), [(401, AccessError), (403, AccessError), (404, NotFoundError), (405, FetchError), (507, FetchError)]
)
async def test_refusals_are_final(
    bucket: FaultServer, pieces: list[bytes], status: int, error: type[FetchError], early: bool
) -> None:
    bucket.add(Fault(status=status, early=early))
    with pytest.raises(error, match=f"answered {status}") as caught:
        await send(bucket.url("a"), pieces)
    assert (caught.value.status, bucket.counters.requests, bucket.get("a")) == (status, 1, None)


async def test_a_success_before_the_end_is_none(bucket: FaultServer) -> None:
    bucket.add(Fault(status=201, early=True, body=b"", times=1))
    await send(bucket.url("a"))
    assert bucket.get("a") == DATA
    assert framings(bucket) == ["chunked", "length"]


async def test_uploads_that_wait_for_one_writer_do_not_wait_for_each_other(bucket: FaultServer) -> None:
    with BlockingPool("test") as thread:
        sink = HttpSink(Access(Http(connections_per_host=1), QUICK), thread)
        first, second = await sink.open(bucket.url("a")), await sink.open(bucket.url("b"))
        for piece in PIECES:
            await first.write(piece)
            await second.write(piece)
        await second.commit()
        await first.commit()
        await sink.aclose()
    assert (bucket.get("a"), bucket.get("b")) == (DATA, DATA)


async def test_a_refusal_comes_out_of_the_next_write(bucket: FaultServer) -> None:
    bucket.add(Fault(status=403, early=True))
    with pytest.raises(AccessError):
        async with opened(bucket.url("a")) as upload:
            for number in range(1000):
                await upload.write(b"piece")
                await asyncio.sleep(0.01)
                assert number < 900


@pytest.mark.parametrize(
    "fault", [Fault(wants_length=True), Fault(status=501, early=True, times=1), Fault(status=400, times=1)], ids=str
)
async def test_servers_that_want_a_length_get_it(bucket: FaultServer, fault: Fault) -> None:
    bucket.add(fault)
    await send(bucket.url("a"))
    assert bucket.get("a") == DATA
    assert framings(bucket) == ["chunked", "length"]


async def test_a_bad_request_with_a_length_is_final(bucket: FaultServer) -> None:
    bucket.add(Fault(status=400))
    with pytest.raises(FetchError, match="answered 400"):
        await send(bucket.url("a"))
    assert framings(bucket) == ["chunked", "length"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("early", [True, False])
async def test_redirects_keep_the_method(bucket: FaultServer, status: int, early: bool) -> None:
    bucket.add(Fault(path="a", status=status, redirect_to=bucket.url("b"), early=early))
    for pieces in (PIECES, [b"small"]):
        await send(bucket.url("a"), pieces)
        assert (bucket.get("a"), bucket.get("b")) == (None, b"".join(pieces))


async def test_redirects_that_lead_nowhere(bucket: FaultServer) -> None:
    bucket.add(
        Fault(path="loop", status=307, redirect_to=bucket.url("loop")), Fault(path="see", status=303, redirect_to=bucket.url("b"))
    )
    with pytest.raises(FetchError, match="more than 10 redirects"):
        await send(bucket.url("loop"), [b"x"])
    with pytest.raises(FetchError, match="answered 303"):
        await send(bucket.url("see"), [b"x"])
    assert bucket.get("b") is None


async def test_an_upload_that_stalls(bucket: FaultServer) -> None:
    bucket.add(Fault(upload_stall_at=10))
    with pytest.raises(FetchTimeoutError, match="the upload stalled") as caught:
        await send(bucket.url("a"), PIECES * 4, IMPATIENT)
    assert caught.value.attempts == 2
    bucket.clear()


async def test_an_answer_that_does_not_come(bucket: FaultServer) -> None:
    bucket.add(Fault(stall_headers=True))
    with pytest.raises(FetchTimeoutError, match="no answer to the upload"):
        await send(bucket.url("a"), [b"x"], IMPATIENT)


async def test_a_slow_writer_is_no_stall(bucket: FaultServer) -> None:
    async with opened(bucket.url("a"), replace(IMPATIENT, stall_timeout=0.8)) as upload:
        for piece in (b"a", b"b", b"c"):
            await upload.write(piece)
            await asyncio.sleep(1.2)
        await upload.commit()
    assert bucket.get("a") == b"abc"
    assert framings(bucket) == ["chunked"]


async def test_nobody_listens() -> None:
    with FaultServer({}) as gone:
        url = gone.url("a")
    with pytest.raises(FetchError, match="no connection") as caught:
        await send(url)
    assert caught.value.attempts == 3


async def test_no_url_of_http(bucket: FaultServer) -> None:
    with pytest.raises(FetchError, match="no http or https URL"):
        await send("http:///a")


async def test_headers_and_logins(bucket: FaultServer) -> None:
    http = Http(headers={bucket.url(): {"X-A": "b", "Content-Type": "application/x-tar"}})
    await send(bucket.url("a").replace("http://", "http://user:secret@"), [b"x"], http=http)
    headers = bucket.requests[0].headers
    assert (headers["x-a"], headers["content-type"]) == ("b", "application/x-tar")
    assert headers["authorization"].startswith("Basic ")
    bucket.add(Fault(status=403))
    with pytest.raises(AccessError) as caught:
        await send(bucket.url("a").replace("http://", "http://user:secret@"), [b"x"], http=http)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_cancelled_anywhere_nothing_is_visible_and_nothing_left(bucket: FaultServer, turns: int) -> None:
    async with leaks():
        task = asyncio.create_task(send(bucket.url("a")))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            assert task.exception() is None
    await until(lambda: bucket.counters.open_connections == 0)
    assert bucket.get("a") in ((DATA,) if not task.cancelled() else (None, DATA))


async def test_a_full_disk_for_the_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: FaultServer) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MiB, before[1]))
    try:
        with pytest.raises(FetchError, match="too large") as caught:
            await send(bucket.url("a"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.url, caught.value.offset) == (bucket.url("a"), 3 * MiB)
    assert bucket.get("a") is None
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(NotFoundError):
        await send(bucket.url("a"))


async def test_a_spool_is_read_while_it_grows() -> None:
    with BlockingPool("test") as thread:
        spool = Spool("u", thread)
        waiting = asyncio.create_task(spool.piece(0))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await spool.append(b"abc")
        assert await waiting == b"abc"
        await spool.append(b"def")
        assert await spool.piece(2) == b"cdef"
        waiting = asyncio.create_task(spool.piece(6))
        await asyncio.sleep(0.01)
        spool.finish()
        assert await waiting == b""
        assert await spool.piece(0) == b"abcdef"
        spool.close()
