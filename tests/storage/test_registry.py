from __future__ import annotations

import subprocess
import sys

import pytest

from asyncwds import Http, Retry
from asyncwds.errors import SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import open_storage
from asyncwds.testing import CHECKS, Fault, leaks, read


@pytest.fixture
async def counters():
    return Counters()


@pytest.fixture
async def storage(counters):
    fetcher = open_storage(Access(Http(), Retry(backoff=0.001)), counters)
    async with leaks():
        yield fetcher
        await fetcher.aclose()
        await fetcher.aclose()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_storage_passes_the_contract_over_http(storage, server, check):
    await check(storage, server.put)


async def test_every_scheme_at_once(storage, server, counters, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"data")
    urls = [server.put("a", b"data"), str(path), f"file://{path}", f"FILE:{path}", "pipe:printf data", f"PIPE:cat {path}"]
    assert [(await read(storage, url))[1] for url in urls] == [b"data"] * 6
    assert (counters.requests, counters.bytes) == (6, 24)


async def test_http_is_retried(storage, server, counters):
    url = server.put("a", b"0123456789")
    server.add(Fault(cut_at=3, times=1))
    assert (await read(storage, url))[1] == b"0123456789"
    assert (counters.requests, counters.retries) == (2, 1)


@pytest.mark.parametrize("url", ["nosuch://host/a", "nonsense:a", "xy:/a"])
async def test_an_unknown_scheme_lists_the_known_ones(storage, url):
    with pytest.raises(SpecError, match="http:, https:, .*file:, pipe:") as refused:
        await read(storage, url)
    assert refused.value.url == url


@pytest.mark.parametrize("url", ["pipe:true", "/a.tar", "file:a.tar"])
async def test_secure_mode_runs_nothing_and_opens_no_file(storage, url, monkeypatch):
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(SpecError, match="WDS_SECURE"):
        await read(storage, url)


def test_http_is_imported_when_it_is_used():
    program = "import sys, asyncwds.storage.registry; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "False\n"
