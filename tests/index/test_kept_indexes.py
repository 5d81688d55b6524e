"""Indexes that reading leaves: the same as those made of the shards' headers."""

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.testing import FaultServer, make_samples, make_shard


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        samples = make_samples(7, fields=("bin", "cls"), prefix=f"{number}-", seed=number)
        (tmp_path / f"s{number}.tar").write_bytes(make_shard(samples))
    return tmp_path


PATTERN = "s{0..2}.tar"


def kept_in(folder):
    return sorted(wds.load_index(folder).shards, key=lambda shard: shard.url)


@pytest.mark.parametrize("prefetch", [None, wds.Prefetch(interleave=3)])
def test_beside_local_shards(folder, prefetch):
    list(wds.WebDataset(str(folder / PATTERN), keep_index=True, prefetch=prefetch))
    assert kept_in(folder) == list(wds.make_index(str(folder / PATTERN)).shards)


def test_in_a_cache_and_then_they_are_used(folder, tmp_path):
    with FaultServer(folder) as server:
        url = server.url() + PATTERN
        list(wds.WebDataset(url, keep_index=True, cache_dir=tmp_path / "cache"))
        assert kept_in(tmp_path / "cache/.asyncwds-indexes") == sorted(wds.make_index(url).shards, key=lambda shard: shard.url)
        before = server.counters.requests
        with wds.WebDataset(url, cache_dir=tmp_path / "cache") as dataset:
            assert dataset["2-000003"]["__key__"] == "2-000003"
        assert server.counters.requests == before  # the cache has index and shard


def test_again_where_the_shard_was_replaced(folder):
    path = folder / "s0.tar"
    for count in (7, 7, 30):
        path.write_bytes(make_shard(make_samples(count)))
        list(wds.WebDataset(str(path), keep_index=True))
        assert len(wds.load_index(f"{path}.wdsindex")) == count


def test_not_of_a_shard_that_is_not_read_to_its_end(folder):
    (folder / "s1.tar").write_bytes((folder / "s1.tar").read_bytes()[:5000])
    list(wds.WebDataset(str(folder / PATTERN), keep_index=True, handler=wds.ignore_and_continue))
    assert not (folder / "s1.tar.wdsindex").exists()
    assert len(kept_in(folder)) == 2


@pytest.mark.parametrize(("name", "options"), [("a.tar", {"format": "pax"}), ("a.tar.gz", {"compress": "gz", "format": "pax"})])
def test_not_where_reading_does_not_tell_where_payloads_are(tmp_path, name, options):
    samples = [{**sample, "__key__": f"{'k' * 200}{number}"} for number, sample in enumerate(make_samples(5))]
    (tmp_path / name).write_bytes(make_shard(samples, **options))
    assert len(list(wds.WebDataset(str(tmp_path / name), keep_index=True))) == 5
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_where_nothing_can_be_written_reading_goes_on(folder, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/.asyncwds-indexes").write_text("in the way")
    assert len(list(wds.WebDataset(str(folder / PATTERN), keep_index=True, cache_dir=tmp_path / "cache"))) == 21


def test_not_of_members_that_are_left_out(folder):
    with pytest.raises(SpecError, match="read as they are"):
        wds.WebDataset(str(folder / PATTERN), keep_index=True, select_files=lambda _: True)
