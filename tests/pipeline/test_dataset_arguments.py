"""The arguments of WebDataset that tests/pipeline/test_dataset.py leaves out."""

from __future__ import annotations

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import FaultServer, leaks, make_shard

SHARDS, SAMPLES = 6, 4
ALL = [f"{shard}{n}" for shard in range(SHARDS) for n in range(SAMPLES)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shards").mkdir()
    for shard in range(SHARDS):
        samples = [{"__key__": f"{shard}{n}", "txt": f"text {n}"} for n in range(SAMPLES)]
        (tmp_path / "shards" / f"s{shard}.tar").write_bytes(make_shard(samples))
    return tmp_path / "shards"


@pytest.fixture
def shards(folder):
    return f"{folder}/s{{0..{SHARDS - 1}}}.tar"


def keys(dataset):
    return [sample["__key__"] for sample in dataset]


@pytest.mark.parametrize(("repeat", "passes"), [(False, 1), (0, 1), (1, 1), (3, 3)])
def test_repeat(shards, repeat, passes):
    assert keys(wds.WebDataset(shards, repeat=repeat)) == ALL * passes


def test_repeat_without_end(shards):
    dataset = wds.WebDataset(shards, repeat=True)
    iterator = iter(dataset)
    assert [next(iterator)["__key__"] for _ in range(5 * len(ALL))] == ALL * 5
    iterator.close()


@pytest.mark.parametrize("arguments", [{"resampled": True}, {"mode": "resampled"}])
def test_resampling_is_reproducible_and_has_no_end(shards, arguments):
    def epochs(seed):
        dataset = wds.WebDataset(shards, seed=seed, shardshuffle=100, **arguments).with_epoch(3 * len(ALL))
        return [keys(dataset) for _ in range(2)]

    assert epochs(1) == epochs(1)
    assert epochs(1)[0] != epochs(1)[1]
    assert epochs(1) != epochs(2)
    assert {key[0] for key in epochs(1)[0]} == {str(shard) for shard in range(SHARDS)}


def test_resampling_needs_no_splitter_on_several_ranks(shards, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    streams = []
    for rank in range(2):
        for splitter in (wds.single_node_only, wds.split_by_node, None):
            monkeypatch.setenv("RANK", str(rank))
            streams.append(keys(wds.WebDataset(shards, resampled=True, seed=1, nodesplitter=splitter).with_epoch(60)))
    assert streams[0] == streams[1] == streams[2] != streams[3] == streams[4] == streams[5]
    # A splitter of one's own is asked all the same.
    ours = wds.WebDataset(shards, resampled=True, seed=1, nodesplitter=lambda src: (item for item in src if "s0" in item["url"]))
    assert {key[0] for key in keys(ours.with_epoch(20))} == {"0"}


def test_a_command_in_a_list_is_run_as_it_is(folder, monkeypatch):
    monkeypatch.setenv("SHARD", str(folder / "s0.tar"))
    command = "pipe:echo '{1,2}' '::' >/dev/null; cat ${SHARD}"
    assert keys(wds.WebDataset([command])) == keys(wds.WebDataset([command + "\n"])) == ALL[:SAMPLES]


def test_detshuffle_is_the_rule(shards):
    orders = [keys(wds.WebDataset(shards, shardshuffle=10, seed=2, detshuffle=detshuffle)) for detshuffle in (False, True)]
    assert orders[0] == orders[1] != ALL


@pytest.mark.parametrize("as_settings", [False, True])
def test_a_cache(folder, tmp_path, as_settings):
    cache = {"cache": wds.Cache(tmp_path / "cache")} if as_settings else {"cache_dir": str(tmp_path / "cache"), "cache_size": 10**9}
    with FaultServer(folder) as server, leaks():
        urls = [server.url(f"s{shard}.tar") for shard in range(SHARDS)]
        dataset = wds.WebDataset(urls, **cache)
        assert keys(dataset) == ALL
        sent = server.counters.requests
        assert keys(dataset) == ALL
        pipeline = wds.DataPipeline(wds.SimpleShardList(urls), wds.tarfile_to_samples(**cache))
        assert keys(pipeline) == ALL
        assert server.counters.requests == sent
    assert any((tmp_path / "cache").iterdir())


def test_no_cache_and_names_of_ones_own(folder, tmp_path):
    with FaultServer(folder) as server:
        url = server.url("s0.tar")
        list(wds.WebDataset(url, cache_dir=str(tmp_path / "none"), cache_size=0))
        assert not (tmp_path / "none").exists()
        list(wds.WebDataset(url, cache_dir=str(tmp_path / "own"), url_to_name=lambda url: "mine.tar"))
        assert (tmp_path / "own" / "mine.tar").exists()


def test_a_dataset_ends_its_iterations_when_it_is_closed(shards):
    with leaks():
        with wds.WebDataset([shards] * 10) as dataset:
            iterator = iter(dataset.map(lambda sample: sample))
            running = iter(dataset)
            next(running)
        assert list(running) == []
        iterator.close()
        assert keys(dataset) == ALL * 10


def test_what_a_dataset_tells(shards):
    dataset = wds.WebDataset(shards, seed=7).shuffle(3)
    assert dataset.seed == 7
    assert len(dataset.pipeline) == 2
    assert dataset.stage(1) is dataset.pipeline[1]
    dataset.append(wds.to_tuple("txt"))
    assert next(iter(dataset))[0].startswith(b"text")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"urls": "spec.json"}, "JSON"),
        ({"urls": []}, "empty"),
        ({"urls": 3}, "must be a string"),
        ({"urls": {"datasets": []}}, "datasets"),
        ({"urls": "missing.yaml"}, "cannot be read|pip install"),
        ({"urls": "no/such/folder/"}, "no such folder"),
        ({"urls": "a.tar", "seed": "x"}, "whole number"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(SpecError, match=message):
        wds.WebDataset(**arguments)


def test_a_folder_on_a_server_is_no_folder(folder):
    with FaultServer(folder) as server, pytest.raises(wds.errors.FetchError):
        list(wds.WebDataset(server.url()))
