"""Sources that are opened by functions, and read in threads."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import threading

import pytest

from asyncwds.errors import FetchError, NotFoundError, SpecError
from asyncwds.runtime import Counters
from asyncwds.storage import ByScheme, MemoryFetcher, ObjectRange, OpenerFetcher, shell
from asyncwds.testing import check_fetcher, leaks, make_samples, make_shard, read

DATA = bytes(range(256)) * 4000


class Adapter:
    """An OpenerFetcher with one opener, as a fetcher."""

    def __init__(self, opener):
        self.counters = Counters()
        self.fetcher = OpenerFetcher(self.counters)
        self.opener = opener

    def open(self, wanted, *, buffer=None):
        del buffer
        return self.fetcher.open(wanted.url, self.opener)

    async def aclose(self):
        await self.fetcher.aclose()


async def body(opener, url="mine://x"):
    adapter = Adapter(opener)
    try:
        return await read(adapter, url)
    finally:
        await adapter.aclose()


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
    adapter = Adapter(lambda *_: stream)
    async with adapter.open(ObjectRange("mine://x")) as opened:
        async for _ in opened:
            break
    await adapter.aclose()
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

    adapter = Adapter(lambda *_: Slow([]))

    async def consume():
        async with adapter.open(ObjectRange("mine://x")) as opened:
            async for _ in opened:
                pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await adapter.aclose()
    assert closed_under_a_read == [False]


async def test_fault_37_leaving_while_it_is_opened():
    go_on = threading.Event()
    stream = Stream([])

    def opener(*_):
        go_on.wait(5)
        return stream

    adapter = Adapter(opener)
    opening = asyncio.create_task(adapter.open(ObjectRange("mine://x")).__aenter__())
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go_on.set()
    await adapter.aclose()
    assert stream.closed


async def test_a_command_that_writes_nothing_is_not_waited_for():
    adapter = Adapter(shell)

    async def consume():
        async with adapter.open(ObjectRange("pipe:sleep 60")) as opened:
            async for _ in opened:
                pass

    async with leaks():
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await adapter.aclose()


# -- by scheme


def by_scheme(openers, known=("mem",)):
    counters = Counters()
    own = MemoryFetcher({"mem:a": b"own"}, counters=counters)
    return ByScheme(own, lambda scheme: scheme in known, openers, counters), own


async def test_urls_go_to_whom_their_scheme_says():
    openers = {"mine": lambda url, *_: io.BytesIO(b"mine"), "__default__": lambda url, *_: io.BytesIO(b"default")}
    fetcher, own = by_scheme(openers)
    assert [(await read(fetcher, url))[1] for url in ("mem:a", "mine:x", "other:x")] == [b"own", b"mine", b"default"]
    await fetcher.aclose()
    assert own.closed
    fetcher, _ = by_scheme({"mem": lambda url, *_: io.BytesIO(b"theirs")})
    assert (await read(fetcher, "mem:a"))[1] == b"theirs"
    await fetcher.aclose()


async def test_fallbacks_are_for_what_nobody_else_knows():
    fallbacks = {scheme: lambda url, *_: io.BytesIO(b"fallback") for scheme in ("mem", "sftp", "mine")}
    own = MemoryFetcher({"mem:a": b"own"})
    openers = {"mine": lambda url, *_: io.BytesIO(b"mine"), "__default__": lambda url, *_: io.BytesIO(b"default")}
    fetcher = ByScheme(own, lambda scheme: scheme == "mem", openers, Counters(), fallbacks)
    urls = ("mem:a", "mine:x", "sftp:x", "other:x")
    assert [(await read(fetcher, url))[1] for url in urls] == [b"own", b"mine", b"fallback", b"default"]
    await fetcher.aclose()


@pytest.mark.needs("fsspec")
def test_file_systems_that_nobody_asked_for_are_not_imported(server):
    url = server.put("a.tar", make_shard(make_samples(1)))
    program = f"import sys, asyncwds\nlist(asyncwds.WebDataset({url!r}))\nprint('fsspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "False\n"


async def test_urls_are_rewritten_first(monkeypatch):
    monkeypatch.setenv("GOPEN_REWRITE", "mine:=mem:;mem:a=mem:b")
    fetcher, _ = by_scheme({"mine": lambda *_: io.BytesIO(b"mine")})
    assert (await read(fetcher, "mine:a"))[1] == b"own"
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(SpecError, match="WDS_SECURE"):
        await read(fetcher, "mine:a")
    await fetcher.aclose()


async def test_it_is_a_fetcher_like_the_one_within():
    objects: dict[str, bytes] = {}

    def put(name: str, data: bytes) -> str:
        objects[f"mem:{name}"] = data
        return f"mem:{name}"

    await check_fetcher(lambda: ByScheme(MemoryFetcher(objects), lambda scheme: scheme == "mem", {}, Counters()), put)
