from __future__ import annotations

import pytest

from asyncwds.testing import CHECKS

SOURCES = {
    "ranges": {},
    "small chunks": {"chunk_bytes": 1000},
    "no ranges": {"ranged": False},
    "no ranges, no size": {"ranged": False, "sized": False},
    "ranges, no size": {"sized": False},
}


CACHES = {"revalidating": {"revalidate": True}, "with checksums": {"checksums": True}, "too small": {"size": 300_000}}
COMBINATIONS = {**{name: ({}, source) for name, source in SOURCES.items()}, **{name: (cache, {}) for name, cache in CACHES.items()}}


@pytest.mark.parametrize(("cache", "source"), COMBINATIONS.values(), ids=COMBINATIONS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.filterwarnings("ignore:reading goes on without the cache")  # one object is larger than 300 kB
async def test_caches_pass_the_contract(caches, check, cache, source):
    """To a cache an object is what its name stands for: when one is replaced, so is its name."""
    versions: dict[str, int] = {}

    def put(name: str, data: bytes) -> str:
        url = f"memory://{name}"
        versions[url] = versions.get(url, 0) + 1
        caches.objects[url] = data
        return url

    fetcher = caches.new(source, url_to_name=lambda url: f"{url.rpartition('/')[2]}-{versions.get(url)}", **cache)
    await check(fetcher, put)
