from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path

import pytest

from asyncwds import S3, Command, WebDataset
from asyncwds.errors import FetchError, SpecError, TarError
from asyncwds.runtime import Counters
from asyncwds.storage import ObjectRange, PipeFetcher
from asyncwds.testing import leaks, make_shard, read


@pytest.fixture
async def pipes():
    fetcher = PipeFetcher(Counters())
    async with leaks():
        yield fetcher
        await fetcher.aclose()


async def test_the_output_of_a_command():
    counters = Counters()
    answer, data = await read(PipeFetcher(counters), "pipe:printf hello | tr a-z A-Z", 100, 200, "identity")
    assert (answer.start, answer.total, answer.identity, answer.ranged, data) == (0, None, None, False, b"HELLO")
    assert (counters.requests, counters.bytes) == (1, 5)


async def test_much_output_and_much_talk(pipes):
    command = "pipe:head -c 3000000 /dev/zero & head -c 1000000 /dev/zero >&2; wait"
    assert len((await read(pipes, command))[1]) == 3_000_000


async def test_many_at_once(pipes):
    answers = await asyncio.gather(*(read(pipes, f"pipe:sleep 0.0{number}; echo {number}") for number in range(8)))
    assert [int(data) for _, data in answers] == list(range(8))


async def test_it_has_no_standard_input(pipes):
    assert (await read(pipes, "pipe:cat"))[1] == b""


async def test_a_command_that_fails_after_its_output(pipes):
    with pytest.raises(FetchError, match="failed with status 3: what went wrong") as refused:
        await read(pipes, "pipe:echo data; echo what went wrong >&2; exit 3")
    assert (refused.value.status, refused.value.offset) == (3, 5)
    assert refused.value.url.startswith("pipe:echo data")


async def test_the_end_of_stderr_is_kept_without_secrets(pipes):
    with pytest.raises(FetchError) as refused:
        await read(pipes, "pipe:head -c 100000 /dev/zero | tr '\\0' x >&2; echo http://user:word@host/a?sig=abc >&2; exit 1")
    assert refused.value.message.endswith("xhttp://***@host/a?sig=***")
    assert len(refused.value.message) < 2100


@pytest.mark.parametrize(
    ("command", "message", "status"),
    [
        ("kill -9 $$", "was killed by SIGKILL", -9),
        ("no-such-command", "failed with status 127: .*no-such-command", 127),
        ("false", "failed with status 1$", 1),
        ("exec 1>&-; sleep 0.05; exit 4", "failed with status 4", 4),
    ],
)
async def test_ways_to_fail(pipes, command, message, status):
    with pytest.raises(FetchError) as refused:
        await read(pipes, f"pipe:{command}")
    assert refused.value.status == status
    with pytest.raises(FetchError, match=message):
        raise FetchError(refused.value.message)


@pytest.mark.parametrize("url", ["pipe:", "pipe: ", "pipe:a\0b"])
async def test_commands_that_make_no_sense(pipes, url):
    with pytest.raises(SpecError):
        await read(pipes, url)


def alive(process: int) -> bool:
    try:
        # Where nobody adopts orphans a killed one stays a zombie.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_leaving_early_kills_the_command_and_its_children(pipes):
    async with pipes.open(ObjectRange("pipe:sleep 100 & echo $! $$; sleep 100 | cat")) as body:
        processes = [int(word) for word in (await anext(aiter(body))).split()]
        assert all(map(alive, processes))
    deadline = asyncio.get_running_loop().time() + 2
    while any(map(alive, processes)):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)


async def test_fault_37_cancelled_at_every_await(pipes):
    async def run() -> None:
        with pytest.raises(FetchError):
            await read(pipes, "pipe:echo data; echo talk >&2; sleep 0.001; exit 1")

    finished = 0
    for turns in range(200):
        task = asyncio.create_task(run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        finished += not task.cancelled()
        if finished > 3:
            break


async def test_fault_37_cancelled_again_while_it_is_killed(pipes):
    for again in range(4):
        started = asyncio.Event()

        async def run(started: asyncio.Event = started) -> None:
            async with pipes.open(ObjectRange("pipe:yes")):
                started.set()
                await asyncio.sleep(100)

        task = asyncio.create_task(run())
        await started.wait()
        task.cancel()
        for _ in range(again):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])


async def test_fault_32_out_of_descriptors_no_command_starts(pipes):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    for left in range(6):
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + left, hard))
        try:
            with pytest.raises(FetchError, match="Too many open files: this process may have"):
                await read(pipes, "pipe:true")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (await read(pipes, "pipe:echo on"))[1] == b"on\n"


@pytest.mark.parametrize("storage", [Command(check=False), {"pipe:": Command(check=False)}, {"pipe:cat": Command(check=False)}])
def test_a_command_that_fails_after_all_data_may_be_allowed_to(tmp_path, storage):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "a", "txt": "x"}]))
    url = f"pipe:cat {tmp_path}/a.tar; exit 3"
    with pytest.raises(FetchError, match="status 3"):
        list(WebDataset([url]))
    with leaks():
        assert [sample["txt"] for sample in WebDataset([url], storage=storage)] == [b"x"]
    with pytest.raises(FetchError, match="status 3"):
        list(WebDataset([url], storage={"pipe:cp": Command(check=False)}))


def test_a_cut_shard_of_such_a_command_is_an_error_still(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "a", "txt": "x" * 2000}])[:1500])
    with leaks(), pytest.raises(TarError):
        list(WebDataset([f"pipe:cat {tmp_path}/a.tar; exit 3"], storage=Command(check=False)))


@pytest.mark.parametrize("storage", [{"s3://": Command()}, {"pipe:": S3()}, {"": Command()}])
def test_settings_of_commands_are_for_commands(storage):
    with pytest.raises(SpecError, match="Command is for urls that begin with pipe:"):
        WebDataset(["a.tar"], storage=storage)
