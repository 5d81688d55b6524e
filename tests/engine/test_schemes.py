"""Urls that are opened by functions: `ByScheme`, a fetcher around a fetcher."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from asyncwds.engine import ByScheme
from asyncwds.errors import SpecError
from asyncwds.runtime import Counters
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import check_fetcher, make_samples, make_shard, read


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
