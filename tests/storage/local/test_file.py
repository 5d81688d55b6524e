from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import textwrap

import pytest

from asyncwds.errors import ChangedError, FetchError, NotFoundError, ShortBodyError, SpecError
from asyncwds.runtime import Counters, MiB
from asyncwds.storage import FileFetcher, ObjectRange
from asyncwds.testing import CHECKS, leaks, read


@pytest.fixture
async def files():
    fetcher = FileFetcher(Counters())
    async with leaks():
        yield fetcher
        await fetcher.aclose()


@pytest.fixture
def put(tmp_path):
    def write(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        return str(path)

    return write


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_files_pass_the_contract(files, put, check):
    await check(files, put)


async def test_urls(files, put, tmp_path, monkeypatch):
    put("a b%20", b"data")
    monkeypatch.chdir(tmp_path)
    for url in ("a b%20", f"file:{tmp_path}/a%20b%2520", f"file://{tmp_path}/a%20b%2520", "file:a%20b%2520"):
        assert (await read(files, url))[1] == b"data"


async def test_a_large_file_comes_in_pieces_and_is_counted(put, tmp_path):
    data = os.urandom(3 * MiB + 5)
    counters = Counters()
    fetcher = FileFetcher(counters)
    async with fetcher.open(ObjectRange(put("a", data), 7, 2 * MiB + 100)) as body:
        chunks = [chunk async for chunk in body]
    assert [len(chunk) for chunk in chunks] == [MiB, MiB, 93]
    assert b"".join(chunks) == data[7 : 2 * MiB + 100]
    assert (counters.requests, counters.bytes) == (1, 2 * MiB + 93)
    await fetcher.aclose()


async def test_a_file_that_is_written_to_is_another_object(files, put):
    url = put("a", b"0" * 10)
    identity = (await read(files, url))[0].identity
    os.utime(url, ns=(0, 0))
    with pytest.raises(ChangedError) as refused:
        await read(files, url, 5, 10, identity)
    assert (refused.value.url, refused.value.offset) == (url, 5)


async def test_a_file_that_shrinks_is_told(files, put):
    url = put("a", bytes(3 * MiB))
    with pytest.raises(ShortBodyError, match="bytes are missing") as refused:
        async with files.open(ObjectRange(url)) as body:
            async for _ in body:
                os.truncate(url, MiB)
    # The second piece is read ahead: before the file shrinks, or after it.
    assert refused.value.offset in (MiB, 2 * MiB)


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("/nowhere/a.tar", NotFoundError, "No such file"),
        (f"{os.devnull}/a.tar", NotFoundError, "Not a directory"),
        ("/", FetchError, "Is a directory"),
        ("a\0b", SpecError, "null (byte|character)"),
        ("http://host/a", SpecError, "not a local path"),
        ("x" * 300, FetchError, "too long"),
    ],
)
async def test_what_cannot_be_opened(files, url, kind, message):
    with pytest.raises(kind, match=message) as refused:
        await read(files, url)
    assert refused.value.url == url


def test_a_file_that_must_not_be_read():
    # In a process of its own that gives up its rights, for where tests run as root.
    program = """
        import asyncio, concurrent.futures.thread, os, sys, tempfile  # Python itself may be out of reach of others
        from asyncwds.storage import FileFetcher
        from asyncwds.errors import AccessError
        from asyncwds.runtime import Counters
        from asyncwds.testing import read

        with tempfile.NamedTemporaryFile() as file:
            os.chmod(file.name, 0)
            if os.geteuid() == 0:
                os.seteuid(65534)
            try:
                asyncio.run(read(FileFetcher(Counters()), file.name))
            except AccessError as error:
                print(isinstance(error, PermissionError), error.url == file.name)
            os.seteuid(os.getuid())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True True\n")


async def test_a_fifo_is_a_stream_and_waits_for_its_writer(files, tmp_path):
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    reading = asyncio.create_task(read(files, path, 10, 20))
    await asyncio.sleep(0.02)
    assert not reading.done()
    writer = await asyncio.create_subprocess_shell(f"(echo one; sleep 0.02; echo two) > {path}")
    answer, data = await reading
    assert (answer.start, answer.total, answer.identity, answer.ranged) == (0, None, None, False)
    assert data == b"one\ntwo\n"
    await writer.wait()


async def test_a_fifo_without_a_writer_can_be_left(files, tmp_path):
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read(files, path), 0.02)


async def test_devices_are_streams(files):
    assert (await read(files, os.devnull))[1] == b""
    async with files.open(ObjectRange("/dev/zero")) as body:
        async for chunk in body:
            assert not any(chunk)
            break


async def test_leaving_while_a_read_is_under_way_keeps_the_descriptor_until_it_ends(files, put):
    url = put("a", bytes(8 * MiB))
    for _ in range(20):
        async with files.open(ObjectRange(url)) as body:
            await anext(aiter(body))


async def test_fault_32_out_of_descriptors_is_an_error_that_names_the_limit(files, put):
    url = put("a", b"data")
    _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (await read(files, url))[1] == b"data"  # its threads and what they need are there
    lowest_free = os.dup(0)
    os.close(lowest_free)
    soft = limits[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(FetchError, match=rf"Too many open files: .*{lowest_free} descriptors.*ulimit -n") as refused:
            await read(files, url)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert refused.value.url == url
    assert (await read(files, url))[1] == b"data"
