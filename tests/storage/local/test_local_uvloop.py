"""Files, commands and FIFOs on uvloop, whose pipes and child processes are its own."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvloop

from asyncwds.errors import FetchError
from asyncwds.runtime import Counters
from asyncwds.storage import FileFetcher, ObjectRange, PipeFetcher
from asyncwds.testing import check_fetcher, leaks, read


def run(main) -> None:
    """In a thread, as the engine does."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: uvloop.run(main())).result()


def test_files(tmp_path):
    def put(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    async def main() -> None:
        async with leaks():
            await check_fetcher(lambda: FileFetcher(Counters()), put)

    run(main)


def test_pipes():
    async def main() -> None:
        pipes = PipeFetcher(Counters())
        async with leaks():
            assert len((await read(pipes, "pipe:head -c 3000000 /dev/zero"))[1]) == 3_000_000
            with pytest.raises(FetchError, match="failed with status 2: talk"):
                await read(pipes, "pipe:echo talk >&2; exit 2")
            async with pipes.open(ObjectRange("pipe:yes")) as body:
                await anext(aiter(body))

    run(main)


def test_a_fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main() -> None:
        async with leaks():
            writer = threading.Timer(0.02, path.write_bytes, [b"data"])
            writer.start()
            assert (await read(FileFetcher(Counters()), str(path)))[1] == b"data"

    run(main)
