"""Indexes that writers leave: the same as those made of the shards' headers."""

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError

SAMPLES = [
    {"__key__": "a", "txt": "x", "bin": b"y" * 700},
    {"__key__": "long/" + "k" * 300, "txt": "", "cls": 3},
    {"__key__": "é", "SEG.png": b"p"},
    {"__key__": "b", "txt": "z"},
]


async def write(kind, pattern, **options):
    if kind is wds.ShardWriter:
        with wds.ShardWriter(pattern, maxcount=3, encoder=True, **options) as sink:
            for sample in SAMPLES:
                sink.write(sample)
    else:
        async with wds.AsyncShardWriter(pattern, maxcount=3, encoder=True, **options) as sink:
            for sample in SAMPLES:
                await sink.write(sample)


WRITERS = [wds.ShardWriter, wds.AsyncShardWriter]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("form", [None, "GNU_FORMAT", "PAX_FORMAT"])
async def test_one_index_of_all_shards(tmp_path, kind, form):
    await write(kind, str(tmp_path / "s%d.tar"), index=tmp_path / "all.wdsindex", format=form, check_names=False)
    made = wds.make_index(str(tmp_path / "s{0,1}.tar"))
    assert wds.load_index(tmp_path / "all.wdsindex") == made
    with wds.WebDataset(str(tmp_path / "s{0,1}.tar"), index=tmp_path / "all.wdsindex") as dataset:
        assert dataset["b"]["txt"] == b"z"


@pytest.mark.parametrize("kind", WRITERS)
async def test_an_index_beside_each_shard(tmp_path, kind):
    await write(kind, str(tmp_path / "s%d.tar"), index=True, check_names=False)
    beside = wds.load_index(str(tmp_path / "s{0,1}.tar.wdsindex"))
    assert beside == wds.make_index(str(tmp_path / "s{0,1}.tar"))


@pytest.mark.parametrize("kind", WRITERS)
async def test_compressed_shards_are_counted(tmp_path, kind):
    await write(kind, str(tmp_path / "s%d.tar.gz"), index=tmp_path / "all.wdsindex", check_names=False)
    assert wds.load_index(tmp_path / "all.wdsindex") == wds.make_index(str(tmp_path / "s{0,1}.tar.gz"))


async def test_keys_are_those_that_readers_see(tmp_path):
    samples = [{"__key__": "a.b", "txt": "1"}, {"__key__": "a", "c": b"2"}, {"__key__": "__meta__/x", "txt": "3"}]
    with wds.ShardWriter(str(tmp_path / "s%d.tar"), check_names=False, index=True) as sink:
        for sample in samples:
            sink.write(sample)
    beside = wds.load_index(tmp_path / "s0.tar.wdsindex")
    assert list(beside.keys()) == ["a"]
    assert beside == wds.make_index(tmp_path / "s0.tar")


def test_what_no_index_can_be_made_of(tmp_path):
    class Own(wds.ShardWriter):
        def next_stream(self):
            raise NotImplementedError

    with pytest.raises(SpecError, match="no manifest or index"):
        Own(str(tmp_path / "s%d.tar"), index=True)
    with pytest.raises(SpecError, match="index"):
        wds.ShardWriter(str(tmp_path / "s%d.tar"), index=3)
