"""The writers that block, writing to a server."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from nginx import Nginx

import asyncwds as wds
from asyncwds.errors import AccessError, BridgeError, FetchError
from asyncwds.testing import Fault, FaultServer, leaks

QUICK = wds.Retry(tries=3, backoff=0.001, backoff_max=0.01)


@pytest.fixture
def bucket() -> Any:
    with FaultServer({}, writable=True) as server:
        yield server


def test_shards_arrive(bucket: FaultServer, samples: Any, read: Any) -> None:
    with leaks(), wds.ShardWriter(bucket.url() + "a-%03d.tar", 4, manifest=bucket.url("m.json")) as sink:
        for sample in samples(10, 700_000):
            sink.write(sample)
    assert read(*[record.url for record in sink.records]) == samples(10, 700_000)
    assert b'"samples": 10' in (bucket.get("m.json") or b"")


def test_one_archive(bucket: FaultServer, samples: Any, read: Any) -> None:
    with leaks(), wds.TarWriter(bucket.url("a.tar.gz") + "?sig=x") as sink:
        sink.write(samples(1)[0])
    assert (bucket.get("a.tar.gz") or b"").startswith(b"\x1f\x8b"), "the name is that without the query"
    assert read(bucket.url("a.tar.gz")) == samples(1)


def test_an_upload_goes_on_while_the_caller_does_other_things(bucket: FaultServer, samples: Any) -> None:
    with leaks(), wds.TarWriter(bucket.url("a.tar")) as sink:
        for sample in samples(4, 1_500_000):
            sink.write(sample)
        arrived = threading.Event()
        while bucket.counters.requests == 0:
            assert not arrived.wait(0.005)
        assert bucket.get("a.tar") is None
    assert bucket.get("a.tar") is not None


async def test_within_a_running_loop(bucket: FaultServer, samples: Any, tmp_path: Path, read: Any) -> None:
    with wds.ShardWriter(bucket.url() + "%d.tar") as sink:  # as in a notebook
        for sample in samples(3):
            sink.write(sample)
    (tmp_path / "0.tar").write_bytes(bucket.get("0.tar") or b"")
    assert len((tmp_path / "0.tar").read_bytes()) == 10240


@pytest.mark.parametrize("early", [True, False])
def test_a_server_that_refuses(bucket: FaultServer, samples: Any, early: bool) -> None:
    bucket.add(Fault(status=403, early=early))
    with leaks(), pytest.raises(AccessError) as caught, wds.ShardWriter(bucket.url() + "%d.tar", 3, retry=QUICK) as sink:
        for sample in samples(4, 900_000):
            sink.write(sample)
    assert (caught.value.url, caught.value.status) == (bucket.url("0.tar"), 403)
    assert bucket.get("0.tar") is None


def test_a_server_that_is_gone(samples: Any) -> None:
    with FaultServer({}) as gone:
        url = gone.url("a.tar")
    with leaks(), pytest.raises(FetchError, match="no connection") as caught, wds.TarWriter(url, retry=QUICK) as sink:
        sink.write(samples(1)[0])
    assert caught.value.attempts == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block(bucket: FaultServer, samples: Any, error: type[BaseException]) -> None:
    with leaks(), pytest.raises(error), wds.ShardWriter(bucket.url() + "%d.tar", 3) as sink:
        for sample in samples(8, 900_000):
            sink.write(sample)
        raise error
    assert [bucket.get(f"{number}.tar") is not None for number in range(3)] == [True, True, False]


def test_never_closed(bucket: FaultServer, samples: Any) -> None:
    with leaks():
        sink = wds.TarWriter(bucket.url("a.tar"))
        for sample in samples(4, 900_000):
            sink.write(sample)
        with pytest.warns(RuntimeWarning, match=r"a\.tar was never closed"):  # noqa: PT031 - dropping it is what warns
            del sink, sample
            gc.collect()
    assert bucket.get("a.tar") is None


def test_not_in_a_forked_child(bucket: FaultServer, samples: Any) -> None:
    with wds.TarWriter(bucket.url("a.tar")) as sink:
        child = os.fork()
        if child == 0:
            try:
                for sample in samples(3, 900_000):
                    sink.write(sample)
            except BridgeError:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        sink.write(samples(1)[0])
    assert bucket.get("a.tar") is not None


SCRIPT = """
import sys, time
import asyncwds as wds
sink = wds.ShardWriter(sys.argv[1], 3)
for number in range(8):
    sink.write({"__key__": str(number), "bin": bytes(900_000)})
print("ready", flush=True)
time.sleep(100 if sys.argv[2] == "wait" else 0)
"""


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL", "end"])
def test_the_process_ends_before_the_writer_is_closed(bucket: FaultServer, how: str) -> None:
    command = [sys.executable, "-c", SCRIPT, bucket.url() + "%d.tar", "end" if how == "end" else "wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if how != "end":
            process.send_signal(signal.Signals[how])
        _, said = process.communicate(timeout=100)
    assert [bucket.get(f"{number}.tar") is not None for number in range(3)] == [True, True, False]
    assert how == "SIGKILL" or "never closed" in said
    assert "Event loop is closed" not in said


def test_36_ctrl_c_while_it_waits_for_the_server(bucket: FaultServer) -> None:
    bucket.add(Fault(stall_headers=True))
    code = "import sys, asyncwds as wds\nwith wds.TarWriter(sys.argv[1]) as sink:\n    sink.write({'__key__': 'a', 'x': b''})\n"
    with leaks(), subprocess.Popen([sys.executable, "-c", code, bucket.url("a.tar")], stderr=subprocess.PIPE, text=True) as process:
        while bucket.counters.requests == 0:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=100)
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_to_nginx(nginx: Nginx, samples: Any, read: Any) -> None:
    with leaks(), wds.ShardWriter(nginx.url("writable", "written-%03d.tar"), 4) as sink:
        for sample in samples(10, 700_000):
            sink.write(sample)
    urls = [nginx.url("plain", f"written-{number:03d}.tar") for number in range(3)]
    assert read(*urls) == samples(10, 700_000)
    assert [record.bytes for record in sink.records] == [
        (nginx.files / f"written-{number:03d}.tar").stat().st_size for number in range(3)
    ]
