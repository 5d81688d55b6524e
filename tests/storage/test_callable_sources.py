"""Sources that are opened by functions, and read in threads."""

from __future__ import annotations

import asyncio
import io
import threading

import pytest

from asyncwds.errors import FetchError, NotFoundError, SpecError
from asyncwds.runtime import Counters
from asyncwds.storage import ObjectRange, OpenerFetcher, shell
from asyncwds.testing import leaks, read

DATA = bytes(range(256)) * 4000


async def body(opener, url="mine://x"):
    fetcher = OpenerFetcher(opener, Counters())
    try:
        return await read(fetcher, url)
    finally:
        await fetcher.aclose()


async def test_it_is_called_as_webdataset_calls_it_and_read_to_its_end():
    calls = []

    def opener(*args):
        calls.append((args, threading.current_thread() is not threading.main_thread()))
        return io.BytesIO(DATA)

    answer, data = await body(opener)
    assert data == DATA
    assert (answer.start, answer.total, answer.ranged) == (0, None, False)
    assert calls == [(("mine://x", "rb", 8192), True)]


class Stream:
    def __init__(self, chunks):
        self.chunks = list(chunks)
        self.closed = False

    def read(self, _size):
        chunk = self.chunks.pop(0) if self.chunks else b""
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def close(self):
        self.closed = True


@pytest.mark.parametrize("opened", [None, b"abc", iter([b"abc"])], ids=lambda opened: type(opened).__name__)
async def test_what_cannot_be_read(opened):
    with pytest.raises(FetchError, match=f"returned {type(opened).__name__}, which has no read.*mine://x"):
        await body(lambda *_: opened)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_bytes_of_any_kind(kind):
    stream = Stream([kind(b"ab"), kind(b"c")])
    assert (await body(lambda *_: stream))[1] == b"abc"
    assert stream.closed


async def test_a_stream_without_close():
    class Bare:
        def read(self, _size):
            return b""

    assert (await body(lambda *_: Bare()))[1] == b""


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FileNotFoundError(2, "No such file"), NotFoundError, "No such file"),
        (KeyError("bucket"), FetchError, "KeyError: 'bucket'"),
        (SpecError("not like this"), SpecError, "not like this"),
    ],
)
async def test_what_an_opener_raises(error, kind, message):
    def opener(*_):
        raise error

    with pytest.raises(kind, match=message) as caught:
        await body(opener, "mine://user:secret@x")
    assert "mine://***@x" in str(caught.value)


async def test_what_a_stream_raises_comes_with_its_place():
    with pytest.raises(FetchError, match="broken") as caught:
        await body(lambda *_: Stream([b"abc", OSError(5, "broken")]))
    assert caught.value.offset == 3
    with pytest.raises(FetchError, match="read\\(\\) returned str"):
        await body(lambda *_: Stream(["text"]))


async def test_leaving_early_closes_the_stream():
    stream = Stream([b"x"] * 100)
    fetcher = OpenerFetcher(lambda *_: stream, Counters())
    async with fetcher.open(ObjectRange("mine://x")) as opened:
        async for _ in opened:
            break
    await fetcher.aclose()
    assert stream.closed


async def test_fault_37_leaving_in_the_middle_of_a_read():
    go_on = threading.Event()
    closed_under_a_read = []

    class Slow(Stream):
        reading = False

        def read(self, _size):
            self.reading = True
            go_on.wait(5)
            self.reading = False
            return b"x"

        def close(self):
            closed_under_a_read.append(self.reading)

    fetcher = OpenerFetcher(lambda *_: Slow([]), Counters())

    async def consume():
        async with fetcher.open(ObjectRange("mine://x")) as opened:
            async for _ in opened:
                pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await fetcher.aclose()
    assert closed_under_a_read == [False]


async def test_fault_37_leaving_while_it_is_opened():
    go_on = threading.Event()
    stream = Stream([])

    def opener(*_):
        go_on.wait(5)
        return stream

    fetcher = OpenerFetcher(opener, Counters())
    opening = asyncio.create_task(fetcher.open(ObjectRange("mine://x")).__aenter__())
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go_on.set()
    await fetcher.aclose()
    assert stream.closed


async def test_a_command_that_writes_nothing_is_not_waited_for():
    fetcher = OpenerFetcher(shell, Counters())

    async def consume():
        async with fetcher.open(ObjectRange("pipe:sleep 60")) as opened:
            async for _ in opened:
                pass

    async with leaks():
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await fetcher.aclose()
