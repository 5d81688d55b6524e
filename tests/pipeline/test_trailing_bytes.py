"""A shard with something behind its end: every sample comes, from every source; a ShardWarning, and an error with strict=True."""

from __future__ import annotations

import gzip
import pickle
import shlex
import warnings

import pytest

import asyncwds as wds
from asyncwds import Prefetch, group_by_keys, tar_file_expander, url_opener
from asyncwds.engine import ReadOptions, ShardReader
from asyncwds.errors import FetchError, ShardWarning, TarHeaderError, TrailingBytesError, TruncatedTarError
from asyncwds.shards import Shard
from asyncwds.testing import FaultServer, leaks, make_samples, make_shard

SAMPLES = list(make_samples(5, size=700))
KEYS = [sample["__key__"] for sample in SAMPLES]
SHARD = make_shard(SAMPLES)
TRAILED = {
    "a newline": SHARD + b"\n",
    "zeros and text": SHARD + bytes(2000) + b"made by a tool",
    "random bytes": SHARD + b"\x8f\x01\xa7" * 2000,
    "gzip with a trailer": gzip.compress(SHARD) + b"signature " * 300,
    "a trailer in gzip": gzip.compress(SHARD + b"\n"),
}


@pytest.fixture(params=TRAILED)
def trailed(request):
    return TRAILED[request.param]


def keys(samples):
    return [sample["__key__"] for sample in samples]


def by_file(path):
    return wds.WebDataset(str(path), shardshuffle=False)


def by_pipe(path):
    return wds.WebDataset(f"pipe:cat {shlex.quote(str(path))}", shardshuffle=False)


def by_stages(path):
    return wds.DataPipeline(wds.SimpleShardList(str(path)), url_opener, tar_file_expander, group_by_keys)


def in_small_parts(path):
    return wds.WebDataset(str(path), shardshuffle=False, prefetch=Prefetch(part_bytes=600))


@pytest.mark.parametrize("opened", [by_file, by_pipe, by_stages, in_small_parts])
def test_all_samples_come(tmp_path, trailed, opened):
    (tmp_path / "a.tar").write_bytes(trailed)
    dataset = opened(tmp_path / "a.tar")
    with leaks(), pytest.warns(ShardWarning, match=r"behind|after"):
        assert keys(dataset) == KEYS


async def test_on_a_loop_of_ones_own_and_over_http(trailed):
    with FaultServer({"a.tar": trailed}) as server:
        with pytest.warns(ShardWarning, match=r"a\.tar"):
            assert [sample["__key__"] async for sample in wds.WebDataset(server.url("a.tar"))] == KEYS
        async with wds.open_samples(server.url("a.tar")) as samples:
            with pytest.warns(ShardWarning, match=r"a\.tar"):
                assert [sample["__key__"] async for sample in samples] == KEYS
            assert (samples.stats().shards, samples.stats().shards_failed) == (1, 0)


def test_a_cache_keeps_such_shards(tmp_path, trailed):
    with FaultServer({"a.tar": trailed}) as server:
        dataset = wds.WebDataset(server.url("a.tar"), cache_dir=tmp_path / "cache")
        for cached in (0, len(trailed)):
            with pytest.warns(ShardWarning, match=r"behind|after"):
                assert keys(dataset) == KEYS
            assert dataset.stats().cached == cached


def test_strict_makes_it_an_error_behind_all_samples(tmp_path, trailed):
    (tmp_path / "a.tar").write_bytes(trailed)
    found = []
    with pytest.raises(TrailingBytesError, match=r"a\.tar") as caught:
        found.extend(keys_of(wds.WebDataset(str(tmp_path / "a.tar"), strict=True), found))
    assert found == KEYS
    assert len(SHARD) <= caught.value.offset <= len(SHARD) + 2048
    assert type(pickle.loads(pickle.dumps(caught.value))) is TrailingBytesError


async def test_strict_and_handlers(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.tar").write_bytes(TRAILED["a newline"])
    urls, asked = f"{tmp_path}/{{a,b}}.tar", []

    def goes_on(error):
        asked.append(type(error))
        return True

    assert keys(wds.WebDataset(urls, shardshuffle=False, strict=True, handler=goes_on)) == KEYS * 2
    async with wds.open_samples(urls, strict=True, handler=goes_on) as samples:
        assert [sample["__key__"] async for sample in samples] == KEYS * 2
    stages = wds.DataPipeline(wds.SimpleShardList(urls), wds.tarfile_to_samples(goes_on, strict=True))
    assert keys(stages) == KEYS * 2
    assert asked == [TrailingBytesError] * 6


def keys_of(samples, found):
    for sample in samples:
        found.append(sample["__key__"])
    return ()


def test_what_is_damaged_behind_the_mark_costs_no_sample_before_it(tmp_path):
    """Neither does a connection that is lost there."""
    (tmp_path / "a.tar").write_bytes(SHARD + b"\1" + SHARD[1:])
    found = []
    with pytest.raises(TarHeaderError) as caught:
        keys_of(wds.WebDataset(str(tmp_path / "a.tar")), found)
    assert type(caught.value) is TarHeaderError
    assert found == KEYS
    reader = ShardReader(Shard("http://x/a.tar", 0), None, None, ReadOptions(1 << 20))
    before = [sample for block in reader.feed(SHARD) for sample in block.samples]
    last = reader.abort(FetchError("the connection was lost", url="http://x/a.tar"))
    assert keys([*before, *last.samples]) == KEYS
    assert isinstance(last.error, FetchError)


@pytest.mark.parametrize("source", ["plain", "gzip"])
def test_the_sample_before_a_member_that_is_too_large(tmp_path, source):
    large = make_shard([*SAMPLES, {"__key__": "large", "bin": bytes(9000)}])
    (tmp_path / "a.tar").write_bytes(gzip.compress(large) if source == "gzip" else large)
    found = []
    with pytest.raises(TarHeaderError, match=r"large\.bin.* has 9000 bytes, and 5000 are allowed"):
        keys_of(wds.WebDataset(str(tmp_path / "a.tar"), prefetch=Prefetch(max_member_bytes=5000)), found)
    assert found == KEYS


def test_a_sample_whose_own_member_is_too_large_is_dropped(tmp_path):
    large = make_shard([*SAMPLES, {"__key__": "last", "a": b"1", "bin": bytes(9000)}])
    (tmp_path / "a.tar").write_bytes(large)
    found = []
    with pytest.raises(TarHeaderError) as caught:
        keys_of(wds.WebDataset(str(tmp_path / "a.tar"), prefetch=Prefetch(max_member_bytes=5000)), found)
    assert found == KEYS
    assert caught.value.key == "last"


def test_a_trailer_behind_gzip_that_holds_a_cut_archive(tmp_path):
    (tmp_path / "a.tar").write_bytes(gzip.compress(SHARD[: -len(SHARD) // 2]) + b"signature " * 300)
    with pytest.raises(TruncatedTarError) as caught:
        list(wds.WebDataset(str(tmp_path / "a.tar")))
    assert "behind the end of the gzip stream" in caught.value.__notes__[0]


def test_warnings_as_errors_reach_the_consumer(tmp_path):
    (tmp_path / "a.tar").write_bytes(TRAILED["a newline"])
    found = []
    with leaks(), warnings.catch_warnings():
        warnings.simplefilter("error", ShardWarning)
        with pytest.raises(ShardWarning, match="end-of-archive mark"):
            keys_of(wds.WebDataset(str(tmp_path / "a.tar")), found)
    assert found == KEYS
