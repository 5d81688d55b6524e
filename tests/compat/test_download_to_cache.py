from __future__ import annotations

from pathlib import Path

import pytest

from asyncwds import Cache
from asyncwds.compat.download_to_cache import keep
from asyncwds.errors import CacheError, NotFoundError, TarHeaderError
from asyncwds.testing import leaks, make_samples, make_shard

SHARD = make_shard(make_samples(100, size=30_000, fields=["bin"]))


@pytest.fixture
def url(server):
    return server.put("a.tar", SHARD)


def test_what_is_kept_is_fetched_once(server, url, tmp_path):
    cache = Cache(tmp_path / "cache")
    with leaks():
        path = keep(url, cache)
    assert Path(path).read_bytes() == SHARD
    requests = server.counters.requests
    assert keep(url, cache) == path
    assert server.counters.requests == requests
    assert keep(url, Cache(tmp_path / "cache", revalidate=True)) == path
    assert server.counters.requests > requests


def test_a_name_of_another_url_is_fetched_anew(server, url, tmp_path):
    cache = Cache(tmp_path / "cache", url_to_name=lambda url: "a.tar")
    keep(url, cache)
    other = make_shard(make_samples(3))
    assert Path(keep(server.put("b.tar", other), cache)).read_bytes() == other


def test_what_cannot_be_kept_is_an_error(server, url, tmp_path):
    with pytest.raises(NotFoundError):
        keep(server.url("missing.tar"), Cache(tmp_path / "cache"))
    with pytest.raises(TarHeaderError, match=r"it begins with b'000000\.bin") as refused:
        keep(url, Cache(tmp_path / "cache"), validator=lambda path: False)
    assert refused.value.url == url
    with pytest.raises(ZeroDivisionError):
        keep(url, Cache(tmp_path / "cache"), validator=lambda path: 1 / 0)
    with pytest.warns(UserWarning, match="no room"), pytest.raises(CacheError):
        keep(url, Cache(tmp_path / "cache", size=1000))
