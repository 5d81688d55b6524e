"""Indexes that reading leaves: the same as those made of the shards' headers."""

import io
import tarfile

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


def pax(name, data, records):
    info = tarfile.TarInfo(name)
    info.size, info.pax_headers = len(data), records
    return info, io.BytesIO(data)


EXTENDED = {
    "webdataset's, with times": [(f"{n}.{name}", {"mtime": "1700000000.25"}) for n in range(9) for name in ("bin", "cls")],
    "some": [(f"{n}.{name}", {"mtime": "1.5"} if (n + len(name)) % 3 else {}) for n in range(9) for name in ("bin", "cls", "jpeg")],
    "long names": [(f"{'k' * 200}{n}.{name}", {}) for n in range(9) for name in ("bin", "cls")],
    "comments of several blocks": [(f"{n}.{name}", {"comment": "c" * (300 * n)}) for n in range(9) for name in ("bin", "cls")],
}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("members", EXTENDED.values(), ids=EXTENDED)
@pytest.mark.parametrize("part_bytes", [4096, 1 << 20])
def test_where_headers_take_more_than_a_block(tmp_path, members, form, part_bytes):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=form) as archive:
        for number, (name, records) in enumerate(members):
            archive.addfile(*pax(name, bytes([number]) * (700 * (number % 5)), records))
    samples = list(wds.WebDataset(str(path), keep_index=True, prefetch=wds.Prefetch(part_bytes=part_bytes)))
    assert len(samples) == 9
    assert kept_in(tmp_path) == list(wds.make_index(str(path)).shards)
    with wds.WebDataset(str(path), index=f"{path}.wdsindex") as dataset:
        assert dataset[:] == samples


@pytest.mark.parametrize("other", ["README", "__meta__/a.json"])
def test_not_where_reading_does_not_tell_where_payloads_are(tmp_path, other):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("0.bin", other, "0.cls", "1.bin", "1.cls"):
            archive.addfile(*pax(name, b"data", {}))
    assert len(list(wds.WebDataset(str(tmp_path / "a.tar"), keep_index=True))) == 2
    (tmp_path / "b.tar.gz").write_bytes(make_shard(make_samples(5), compress="gz"))
    assert len(list(wds.WebDataset(str(tmp_path / "b.tar.gz"), keep_index=True))) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar.gz"]


def test_where_nothing_can_be_written_reading_goes_on(folder, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/.asyncwds-indexes").write_text("in the way")
    assert len(list(wds.WebDataset(str(folder / PATTERN), keep_index=True, cache_dir=tmp_path / "cache"))) == 21


def test_not_of_members_that_are_left_out(folder):
    with pytest.raises(SpecError, match="read as they are"):
        wds.WebDataset(str(folder / PATTERN), keep_index=True, select_files=lambda _: True)
