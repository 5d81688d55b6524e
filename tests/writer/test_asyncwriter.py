"""The asynchronous writer: the same shards, off the loop, and nothing half-written."""

import asyncio
import errno
import gc
import io
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncwds as wds
from asyncwds.errors import AccessError, EncodeError, FetchError, SampleError, SpecError
from asyncwds.testing import Fault, FaultServer, leaks

QUICK = wds.Retry(tries=3, backoff=0.001, backoff_max=0.01)


@pytest.fixture
def bucket() -> Any:
    with FaultServer({}, writable=True) as server:
        yield server


async def write(pattern: Any, samples: Any, *arguments: Any, **options: Any) -> wds.AsyncShardWriter:
    async with leaks(), wds.AsyncShardWriter(pattern, *arguments, **options) as sink:
        for sample in samples:
            await sink.write(sample)
    return sink


@pytest.mark.parametrize(
    "options",
    [{}, {"compress": "gz"}, {"encoder": lambda sample: sample | {"cls": str(sample["cls"]).encode()}}],
    ids=["plain", "compressed", "own encoder"],
)
async def test_the_shards_are_those_of_the_other_writer(tmp_path: Path, samples: Any, options: dict[str, Any]) -> None:
    options |= {"mtime": 0, "maxcount": 7, "maxsize": 3_000_000, "start_shard": 3}
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    theirs = await write(tmp_path / "one" / "%d.tar", samples(20, 600_000), manifest=tmp_path / "one" / "m.json", **options)
    with wds.ShardWriter(tmp_path / "other" / "%d.tar", manifest=tmp_path / "other" / "m.json", **options) as ours:
        for sample in samples(20, 600_000):
            ours.write(sample)
    contents = [{path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in ("one", "other")]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 6
    for name in ("maxcount", "maxsize", "shard", "count", "size", "total"):
        assert getattr(theirs, name) == getattr(ours, name)


async def test_what_it_counts(tmp_path: Path, samples: Any) -> None:
    async with wds.AsyncShardWriter(tmp_path / "%d.tar", 4) as sink:
        assert (sink.fname, sink.shard, sink.count, sink.size, sink.total) == (None, 0, 0, 0, 0)
        assert [await sink.write(sample) for sample in samples(6)] == [101] * 6
        assert (sink.fname, sink.shard, sink.count, sink.size, sink.total) == (str(tmp_path / "1.tar"), 2, 2, 202, 6)
        await sink.next_stream()
        await sink.next_stream()
        await sink.finish()
    assert [record.samples for record in sink.records] == [4, 2]


async def test_to_a_server(bucket: FaultServer, samples: Any, tmp_path: Path, read: Any, manifest: Any) -> None:
    sink = await write(bucket.url() + "a-%03d.tar", samples(10, 1_000_000), 4, manifest=bucket.url("m.json"), retry=QUICK)
    for number in range(3):
        (tmp_path / f"a-{number:03d}.tar").write_bytes(bucket.get(f"a-{number:03d}.tar") or b"")
    assert await asyncio.to_thread(read, *sorted(tmp_path.iterdir())) == samples(10, 1_000_000)
    (tmp_path / "m.json").write_bytes(bucket.get("m.json") or b"")
    assert [shard["url"] for shard in manifest(tmp_path / "m.json")["shards"]] == [
        bucket.url(f"a-{number:03d}.tar") for number in range(3)
    ]
    assert sink.total == 10


async def test_a_server_that_fails_now_and_then(bucket: FaultServer, samples: Any) -> None:
    bucket.add(Fault(status=503, retry_after=0, every=3), Fault(upload_reset_at=1000, every=4))
    sink = await write(bucket.url() + "%d.tar", samples(40, 300_000), 4, retry=QUICK)
    assert [len(bucket.get(f"{number}.tar") or b"") for number in range(10)] == [record.bytes for record in sink.records]


async def test_a_server_that_refuses(bucket: FaultServer, samples: Any) -> None:
    bucket.add(Fault(status=403))
    with pytest.raises(AccessError) as caught:
        await write(bucket.url() + "%d.tar", samples(3), retry=QUICK)
    assert caught.value.url == bucket.url("0.tar")
    assert bucket.get("0.tar") is None


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_an_error_in_the_block(
    bucket: FaultServer, tmp_path: Path, samples: Any, names: Any, error: type[BaseException]
) -> None:
    for pattern in (f"{tmp_path}/%d.tar", bucket.url() + "%d.tar"):
        async with leaks():
            with pytest.raises(error):
                async with wds.AsyncShardWriter(pattern, 2, manifest=tmp_path / "m.json") as sink:
                    for sample in samples(5, 1_500_000):
                        await sink.write(sample)
                    raise error
    assert names() == ["0.tar", "1.tar"]
    assert [bucket.get(f"{number}.tar") is not None for number in range(3)] == [True, True, False]


@pytest.mark.parametrize("turns", range(0, 60, 4))
@pytest.mark.parametrize("where", ["file", "server", "command"])
async def test_37_cancelled_anywhere(tmp_path: Path, samples: Any, read: Any, where: str, turns: int) -> None:
    with FaultServer({}, writable=True) as bucket:
        patterns = {
            "file": f"{tmp_path}/%d.tar",
            "server": bucket.url() + "%d.tar",
            "command": f"pipe:cat > {tmp_path}/%d.out && mv {tmp_path}/*.out {tmp_path}/x.tar",
        }
        async with leaks():
            task = asyncio.create_task(write(patterns[where], samples(9, 700_000), 3, compress=turns % 8 == 0))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None
        for number in range(3):
            (tmp_path / f"{number}.fetched").write_bytes(bucket.get(f"{number}.tar") or bytes(10240))
    for path in [*tmp_path.glob("*.tar"), *tmp_path.glob("*.fetched")]:
        assert len(await asyncio.to_thread(read, path)) in (0, 3)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("turns", range(4))
async def test_37_cancelled_while_it_closes(samples: Any, turns: int) -> None:
    async def write(sink: wds.AsyncShardWriter) -> None:
        async with sink:
            await sink.write(samples(1)[0])

    with FaultServer({}, writable=True) as bucket:
        async with leaks():
            sink = wds.AsyncShardWriter(bucket.url() + "%d.tar")
            task = asyncio.create_task(write(sink))
            while not sink.records:  # noqa: ASYNC110 - each turn of the loop counts
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert bucket.get("0.tar")


async def test_cancelled_it_takes_no_more(tmp_path: Path, samples: Any, names: Any) -> None:
    async with wds.AsyncShardWriter("pipe:sleep 100%d") as sink, leaks():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                for sample in samples(10, 2_000_000):
                    await sink.write(sample)
        with pytest.raises(SpecError, match="an earlier write failed"):
            await sink.write(samples(1)[0])
        await sink.close()
    assert names() == []


async def test_several_tasks_write_at_once(tmp_path: Path, samples: Any, read: Any) -> None:
    async def some(sink: wds.AsyncShardWriter, part: Any) -> None:
        for sample in part:
            await sink.write(sample)
            await asyncio.sleep(0)

    async with leaks(), wds.AsyncShardWriter(tmp_path / "%d.tar", 6) as sink, asyncio.TaskGroup() as group:
        for start in range(4):
            group.create_task(some(sink, samples(40, 100_000)[start::4]))
    found = await asyncio.to_thread(read, *sorted(tmp_path.iterdir()))
    assert sorted(found, key=lambda sample: sample["__key__"]) == samples(40, 100_000)
    assert [record.samples for record in sink.records] == [6] * 6 + [4]


async def test_a_chunk_is_written_while_the_next_one_is_made() -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            assert goes_on.wait(20), "the writer waits for the file"
            return super().write(data)

    goes_on = threading.Event()
    async with leaks(), wds.AsyncShardWriter("%d", opener=lambda name: Slow()) as sink:
        for number in range(15):
            await sink.write({"__key__": str(number), "bin": bytes(100_000)})
        goes_on.set()


async def test_an_error_of_a_chunk_comes_with_the_next_one_at_the_latest(samples: Any) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "full")

    async with leaks(), wds.AsyncShardWriter("%d", opener=lambda name: Full()) as sink:
        with pytest.raises(FetchError, match="full"):
            for sample in samples(2, 1_500_000):
                await sink.write(sample)
        with pytest.raises(SpecError, match="an earlier write failed"):
            await sink.write(samples(1)[0])


async def test_encoding_is_off_the_loop(tmp_path: Path) -> None:
    def encode(value: Any) -> bytes:
        begun.set()
        assert goes_on.wait(20), "the loop stands still"
        return bytes(value)

    begun, goes_on = threading.Event(), threading.Event()
    writing = asyncio.create_task(write(tmp_path / "%d.tar", [{"__key__": "a", "x": 3}], encoder={"x": encode}))
    while not begun.is_set():  # noqa: ASYNC110 - set by another thread
        await asyncio.sleep(0.001)
    goes_on.set()
    await writing


async def test_bytes_need_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    submitted = []

    class Counting(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **more: Any) -> Any:
            submitted.append(arguments)
            return super().submit(*arguments, **more)

    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor", Counting)
    await write(tmp_path / "%d.tar", [{"__key__": str(number), "x": b"abc"} for number in range(500)])
    assert len(submitted) < 8


@pytest.mark.parametrize("kind", ["function", "coroutine function", "returns a coroutine"])
async def test_hooks(tmp_path: Path, samples: Any, kind: str) -> None:
    def note(name: str) -> None:
        seen.append((name, Path(name).exists(), threading.current_thread() is threading.main_thread()))

    async def note_later(name: str) -> None:
        await asyncio.sleep(0.01)
        note(name)

    seen: list[tuple[str, bool, bool]] = []
    hooks = {"function": note, "coroutine function": note_later, "returns a coroutine": lambda name: note_later(name)}  # noqa: PLW0108 - no coroutine function itself
    await write(tmp_path / "%d.tar", samples(5), 2, post=hooks[kind])
    assert seen == [(str(tmp_path / f"{number}.tar"), True, kind != "function") for number in range(3)]


async def test_a_hook_that_fails(tmp_path: Path, samples: Any, names: Any) -> None:
    async def post(name: str) -> None:
        raise ConnectionError(name)

    with pytest.raises(ConnectionError) as caught:
        await write(tmp_path / "%d.tar", samples(5), 2, post=post, manifest=tmp_path / "m.json")
    assert caught.value.__notes__ == [f"in the post hook, for {tmp_path / '0.tar'}"]
    with pytest.raises(ConnectionError):
        await write(tmp_path / "%d.tar", samples(1), post=post, manifest=tmp_path / "m.json")
    assert names() == ["0.tar"]


async def test_files_of_an_opener(samples: Any) -> None:
    class File(io.BytesIO):
        def close(self) -> None:
            closed.append(len(self.getvalue()))
            super().close()

    closed: list[int] = []
    opened = []

    def opener(name: str) -> File:
        opened.append((name, threading.current_thread() is threading.main_thread()))
        return File()

    await write("%d", samples(5), 3, opener=opener)
    assert (opened, closed) == ([("0", False), ("1", False)], [10240, 10240])


async def test_a_sample_that_cannot_be_written_leaves_the_others(tmp_path: Path, samples: Any, read: Any) -> None:
    async with wds.AsyncShardWriter(tmp_path / "%d.tar") as sink:
        for sample in samples(3):
            await sink.write(sample)
            for bad, error in [
                ({"__key__": "x", "jpg": 5}, EncodeError),
                ({"__key__": "a.b", "x": b""}, SampleError),
                (sample, SampleError),
            ]:
                with pytest.raises(error):
                    await sink.write(bad)
    assert await asyncio.to_thread(read, tmp_path / "0.tar") == samples(3)


async def test_nowhere_to_write(tmp_path: Path, samples: Any) -> None:
    for pattern, error in [
        (tmp_path / "missing" / "%d.tar", FetchError),
        ("ftp://host/%d.tar", SpecError),
        ("/dev/full%.0s", FetchError),
    ]:
        with pytest.raises(error):
            await write(pattern, samples(1))
    with pytest.raises(SpecError):
        wds.AsyncShardWriter("a.tar")


async def test_close_is_idempotent(tmp_path: Path, samples: Any, read: Any) -> None:
    async with leaks():
        sink = wds.AsyncShardWriter(tmp_path / "%d.tar")
        await sink.write(samples(1)[0])
        await sink.close()
        await sink.close()
        with pytest.raises(SpecError, match="the writer was closed"):
            await sink.write(samples(1)[0])
    assert await asyncio.to_thread(read, tmp_path / "0.tar") == samples(1)


@pytest.mark.parametrize("where", ["file", "server"])
async def test_never_closed(tmp_path: Path, bucket: FaultServer, samples: Any, names: Any, where: str) -> None:
    async with leaks():
        sink = wds.AsyncShardWriter(tmp_path / "%d.tar" if where == "file" else bucket.url() + "%d.tar")
        for sample in samples(5, 700_000):
            await sink.write(sample)
        with pytest.warns() as caught:  # noqa: PT031 - dropping it is what warns
            del sink
            gc.collect()
            await asyncio.sleep(0.05)
            gc.collect()
    assert any("0.tar was never closed" in str(one.message) for one in caught)
    assert names() == []
    assert bucket.get("0.tar") is None


async def test_without_samples_there_is_no_shard(tmp_path: Path, names: Any) -> None:
    await write(tmp_path / "%d.tar", [])
    assert names() == []


async def test_it_logs(tmp_path: Path, samples: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncwds")
    await write(tmp_path / "%d.tar", samples(1))
    assert [record.getMessage() for record in caplog.records] == [f"writing {tmp_path / '0.tar'}; so far 0 samples in 0 shards"]


async def test_images(tmp_path: Path, read: Any) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    await write(tmp_path / "%d.tar", [{"__key__": "a", "png": pixels, "npy": pixels}])
    [sample] = await asyncio.to_thread(read, tmp_path / "0.tar")
    assert np.array_equal(sample["npy"], pixels)
