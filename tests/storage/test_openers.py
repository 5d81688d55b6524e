"""Urls that are opened by functions: those stand before the library's own sources, and behind them."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from asyncwds.errors import SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import Openers, open_storage
from asyncwds.testing import leaks, make_samples, make_shard, read


@pytest.fixture
def own(tmp_path):
    (tmp_path / "a").write_bytes(b"own")
    return f"file:{tmp_path}/a"


def gives(data):
    return lambda url, *_: io.BytesIO(data)


def storage(first, last=None):
    return open_storage(Access(), Counters(), Openers(first, last or {}))


async def test_urls_go_to_whom_their_scheme_says(own):
    async with leaks():
        fetcher = storage({"mine": gives(b"mine"), "__default__": gives(b"default")})
        urls = (own, "mine:x", "other:x", own)
        assert [(await read(fetcher, url))[1] for url in urls] == [b"own", b"mine", b"default", b"own"]
        await fetcher.aclose()
        fetcher = storage({"file": gives(b"theirs")})
        assert (await read(fetcher, own))[1] == b"theirs"
        await fetcher.aclose()


async def test_the_last_are_for_what_nobody_else_knows(own):
    last = {scheme: gives(b"last") for scheme in ("file", "elsewhere", "mine")}
    fetcher = storage({"mine": gives(b"mine"), "__default__": gives(b"default")}, last)
    urls = (own, "mine:x", "elsewhere:x", "other:x")
    assert [(await read(fetcher, url))[1] for url in urls] == [b"own", b"mine", b"last", b"default"]
    await fetcher.aclose()


async def test_each_function_opens_its_own_urls():
    fetcher = storage({name: lambda url, *_: io.BytesIO(url.encode()) for name in ("one", "two")})
    urls = ["one:a", "two:b", "one:c"]
    assert [(await read(fetcher, url))[1].decode() for url in urls] == urls
    await fetcher.aclose()


@pytest.mark.needs("fsspec")
def test_file_systems_that_nobody_asked_for_are_not_imported(server):
    url = server.put("a.tar", make_shard(make_samples(1)))
    program = f"import sys, asyncwds\nlist(asyncwds.WebDataset({url!r}))\nprint('fsspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "False\n"


async def test_urls_are_rewritten_first(own, monkeypatch):
    monkeypatch.setenv("GOPEN_REWRITE", f"mine:a={own};file:={own}x")
    fetcher = storage({"mine": gives(b"mine")})
    assert (await read(fetcher, "mine:a"))[1] == b"own"
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(SpecError, match="WDS_SECURE"):
        await read(fetcher, "mine:a")
    await fetcher.aclose()


async def test_without_openers_nothing_is_rewritten(own, monkeypatch):
    monkeypatch.setenv("GOPEN_REWRITE", "file:=nowhere:")
    fetcher = open_storage(Access(), Counters())
    assert (await read(fetcher, own))[1] == b"own"
    await fetcher.aclose()
