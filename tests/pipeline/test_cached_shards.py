"""Caches of shards, by the arguments and variables of data sets."""

from __future__ import annotations

import pickle

import pytest

from asyncwds import Cache, DataPipeline, SimpleShardList, WebDataset, open_samples, tarfile_to_samples
from asyncwds.errors import CacheError, SpecError
from asyncwds.settings import cache_settings
from asyncwds.storage import url_to_cache_name
from asyncwds.testing import make_samples, make_shard

SHARDS = {f"{number}.tar": make_shard(make_samples(5, prefix=f"{number}-")) for number in range(3)}
KEYS = [f"{shard}-{index:06d}" for shard in range(3) for index in range(5)]


@pytest.fixture
def urls(server):
    return [server.put(name, data) for name, data in SHARDS.items()]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "cache"


def keys(samples):
    return [sample["__key__"] for sample in samples]


def kept(folder):
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".asyncwds" not in path.parts)


def test_the_second_epoch_needs_no_server(server, urls, folder):
    ds = WebDataset(urls, shardshuffle=False, cache_dir=folder)
    assert [(sample["__key__"], "__local_path__" in sample) for sample in ds] == [(key, False) for key in KEYS]
    assert (ds.stats().cached, kept(folder)) == (0, sorted(SHARDS.values()))
    requests = server.counters.requests
    again = list(pickle.loads(pickle.dumps(ds)))
    assert keys(again) == KEYS
    assert {sample["__local_path__"] for sample in again} == set(map(str, folder.glob("*.tar")))
    assert {sample["__url__"] for sample in again} == set(urls)
    assert server.counters.requests == requests
    assert keys(ds) == KEYS
    assert ds.stats().cached == ds.stats().bytes == sum(map(len, SHARDS.values()))


async def test_on_a_loop_of_ones_own(server, urls, folder):
    for cached in (0, sum(map(len, SHARDS.values()))):
        async with open_samples(urls, cache=Cache(folder)) as samples:
            assert [sample["__key__"] async for sample in samples] == KEYS
        assert samples.stats().cached == cached


def test_in_pipelines(server, urls, folder):
    for _ in range(2):
        assert keys(DataPipeline(SimpleShardList(urls), tarfile_to_samples(cache_dir=folder))) == KEYS
    assert all(count <= 2 for count in server.counters.by_path.values())
    assert kept(folder) == sorted(SHARDS.values())


def test_commands_are_cached_too(urls, folder):
    ds = WebDataset([f"pipe:curl -s {url}" for url in urls], shardshuffle=False, cache_dir=folder)
    assert keys(ds) == KEYS
    assert keys(ds) == KEYS
    assert (ds.stats().cached, kept(folder)) == (ds.stats().bytes, sorted(SHARDS.values()))


def test_names_of_the_user(urls, folder):
    ds = WebDataset(urls, shardshuffle=False, cache_dir=folder, url_to_name=url_to_cache_name)
    assert keys(ds) == KEYS
    assert {path.name: path.read_bytes() for path in folder.glob("*.tar")} == SHARDS


def test_a_size(urls, folder):
    ds = WebDataset(urls, shardshuffle=False, cache_dir=folder, cache_size=25_000)
    for _ in range(2):
        assert keys(ds) == KEYS
    assert sum(map(len, kept(folder))) <= 25_000


def test_settings_as_one(urls, folder):
    ds = WebDataset(urls, shardshuffle=False, cache=Cache(folder, checksums=True))
    for _ in range(2):
        assert keys(ds) == KEYS
    assert ds.stats().cached == ds.stats().bytes


def test_a_folder_that_cannot_be_made_is_an_error_before_the_first_sample(urls):
    with pytest.raises(CacheError, match="cannot be used"):
        next(iter(WebDataset(urls, shardshuffle=False, cache_dir="/dev/null/cache")))


def test_the_environment(urls, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WDS_CACHE", "~/missing/cache")
    monkeypatch.setenv("WDS_CACHE_SIZE", "1e9")
    monkeypatch.setenv("WDS_VERBOSE_CACHE", "1")
    assert keys(WebDataset(urls, shardshuffle=False)) == KEYS
    assert kept(tmp_path / "missing" / "cache") == sorted(SHARDS.values())
    assert capfd.readouterr().err.count("# asyncwds cache keeps") == 3


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ({}, {}, None),
        ({}, {"WDS_CACHE_SIZE": "10"}, None),
        ({}, {"WDS_CACHE": ""}, None),
        ({}, {"WDS_CACHE": "x"}, Cache("x")),
        ({"cache_dir": "y"}, {"WDS_CACHE": "x"}, Cache("y")),
        ({"cache_dir": "y"}, {"WDS_CACHE_SIZE": "1e3"}, Cache("y", 1000)),
        ({"cache_dir": "y", "cache_size": 5.0}, {"WDS_CACHE_SIZE": "1e3"}, Cache("y", 5)),
        ({"cache_dir": "y", "cache_size": 0}, {"WDS_CACHE_SIZE": "1e3"}, None),
        ({"cache_dir": "y"}, {"WDS_CACHE_SIZE": "0"}, None),
        ({"cache_dir": "y"}, {"WDS_CACHE_SIZE": "inf"}, Cache("y")),
        ({"cache_dir": "y", "cache_size": 1e18}, {}, Cache("y", 10**18)),
        ({"cache_dir": "y"}, {"WDS_VERBOSE_CACHE": "0"}, Cache("y")),
        ({"cache_dir": "y", "url_to_name": len}, {"WDS_VERBOSE_CACHE": "1"}, Cache("y", url_to_name=len, verbose=True)),
    ],
    ids=str,
)
def test_arguments_before_variables(arguments, variables, expected, monkeypatch):
    for name in ("WDS_CACHE", "WDS_CACHE_SIZE", "WDS_VERBOSE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_settings(**arguments) == expected


@pytest.mark.parametrize("variable", ["WDS_CACHE_SIZE", "WDS_VERBOSE_CACHE"])
def test_a_variable_that_is_no_number_is_an_error(variable, monkeypatch):
    monkeypatch.setenv(variable, "10 GB")
    with pytest.raises(SpecError, match=f"{variable} must be a number, not '10 GB'"):
        cache_settings("x")


@pytest.mark.parametrize("settings", [{"dir": ""}, {"dir": "x", "size": 0}, {"dir": "x", "size": -1}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(SpecError, match="Cache: "):
        Cache(**settings)


@pytest.mark.needs("torch")
def test_workers_of_a_loader_share_it(server, urls, folder):
    from torch.utils.data import DataLoader

    ds = WebDataset(urls, shardshuffle=False, cache_dir=folder, workersplitter=None).to_tuple("__key__")
    loader = DataLoader(ds, num_workers=2, batch_size=None)
    assert sorted(key for (key,) in loader) == sorted(KEYS * 2)
    assert server.counters.bytes_sent <= 1.01 * sum(map(len, SHARDS.values()))
