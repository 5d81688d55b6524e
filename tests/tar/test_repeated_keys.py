"""Keys that come again in a shard after another one: WebDataset's rule holds, and somebody is told."""

from __future__ import annotations

import io
import pickle
import tarfile
import warnings

import pytest

import asyncwds as wds
from asyncwds import group_by_keys, tar_file_expander, url_opener
from asyncwds.cli.listing import list_samples
from asyncwds.cli.reading import sources
from asyncwds.errors import RepeatedKeyError, ShardWarning
from asyncwds.tar import Grouper, KnownKeys

APART = ["a.jpg", "b.jpg", "a.txt", "b.txt", "c.jpg", "c.txt"]
PARTS = [("a", "jpg"), ("b", "jpg"), ("a", "txt"), ("b", "txt"), ("c", "jpg txt")]


def shard(names) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(bytes(len(name))))
    return buffer.getvalue()


@pytest.fixture
def urls(tmp_path):
    for name in "xy":
        (tmp_path / f"{name}.tar").write_bytes(shard(APART))
    return f"{tmp_path}/{{x,y}}.tar"


def parts(samples):
    return [(sample["__key__"], " ".join(name for name in sample if name[0] != "_")) for sample in samples]


def test_the_rule_stays_and_a_warning_names_each_shard(urls):
    dataset = wds.WebDataset(urls, shardshuffle=False)
    with pytest.warns(ShardWarning, match="members of a sample must stand together") as warned:
        assert parts(dataset) == PARTS * 2
    assert ["x.tar" in str(warning.message) for warning in warned] == [True, False]
    assert all("'a' comes again" in str(warning.message) for warning in warned)
    assert (dataset.stats().repeated_keys, dataset.stats().samples_failed, dataset.stats().shards) == (4, 0, 2)


async def test_on_a_loop_of_ones_own(urls):
    async with wds.open_samples(urls) as samples:
        with pytest.warns(ShardWarning, match="comes again"):
            assert parts([sample async for sample in samples]) == PARTS * 2
        assert samples.stats().repeated_keys == 4


def test_strict_makes_errors_and_leaves_the_parts_out(urls):
    with pytest.raises(RepeatedKeyError, match=r"x\.tar") as caught:
        list(wds.WebDataset(urls, shardshuffle=False, strict=True))
    assert (caught.value.key, caught.value.offset) == ("a", 2048)
    assert type(pickle.loads(pickle.dumps(caught.value))) is RepeatedKeyError
    asked = []

    def goes_on(error):
        asked.append((type(error), error.key))
        return True

    dataset = wds.WebDataset(urls, shardshuffle=False, strict=True, handler=goes_on)
    assert parts(dataset) == [PARTS[0], PARTS[1], PARTS[4]] * 2
    assert asked == [(RepeatedKeyError, "a"), (RepeatedKeyError, "b")] * 2
    assert (dataset.stats().repeated_keys, dataset.stats().samples_failed) == (4, 4)


def test_stages_one_by_one(urls):
    dataset = wds.DataPipeline(wds.SimpleShardList(urls), url_opener, tar_file_expander, group_by_keys)
    with pytest.warns(ShardWarning, match="comes again") as warned:
        assert parts(dataset) == PARTS * 2
    assert len(warned) == 2


def test_the_same_keys_in_several_shards_are_nothing_to_speak_of(tmp_path):
    for name in "xy":
        (tmp_path / f"{name}.tar").write_bytes(shard(["a.jpg", "a.txt", "b.jpg", "__meta__/a.json", "nokey"]))
    dataset = wds.WebDataset(f"{tmp_path}/{{x,y}}.tar", shardshuffle=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parts(dataset) == [("a", "jpg txt"), ("b", "jpg")] * 2
    assert dataset.stats().repeated_keys == 0


def test_the_headers_of_a_shard_alone(tmp_path):
    (tmp_path / "x.tar").write_bytes(shard(APART) + b"\n")
    urls = (str(tmp_path / "x.tar"),)
    samples, stats = list_samples(urls, sources(urls, headers=(), anonymous=False, endpoint=None, profile=None, cache=None))
    with pytest.warns(ShardWarning) as warned:
        assert [(sample.key, " ".join(sample.sizes)) for sample in samples] == PARTS
    assert ["comes again" in str(warning.message) for warning in warned] == [True, False]
    assert stats().shards == 1


def test_the_first_keys_of_a_shard_are_remembered_within_a_bound():
    grouper = Grouper("x", 0)
    for start in range(0, 140_000, 1000):
        grouper.feed([(f"{n}.x", b"", n) for n in range(start, start + 1000)])
    assert grouper.repeated == 0
    grouper.feed([("7.y", b"", 0), ("131071.y", b"", 0), ("139998.y", b"", 0)])
    assert grouper.repeated == 2


@pytest.mark.parametrize("rises", [True, False])
def test_keys_that_rise_are_kept_as_bytes_until_one_does_not(rises):
    known = KnownKeys()
    if rises:
        known.rise()
    assert all(known.add(key) for key in ("a", "b", "ba"))
    assert (known.keys == b"a\0b\0ba\0") is rises
    assert not known.add("b")
    assert all(known.add(key) for key in ("\0", "ab", "\udcff", "\ud800", "ä"))
    assert not any(known.add(key) for key in ("a", "ba", "ab", "\udcff", "\ud800", "ä"))


@pytest.mark.parametrize("odd", ["ba", "a\0a", "ä", "\udcff"])
def test_what_does_not_rise_in_bytes_is_kept_in_a_set(odd):
    known = KnownKeys()
    known.rise()
    assert [known.add("ba"), known.add(odd)] == [True, odd != "ba"]
    assert known.keys == {"ba", odd}


def test_not_too_many_bytes_of_keys_are_kept():
    known = KnownKeys()
    known.rise()
    keys = [f"{number:05}" * 200 for number in range(1100)]
    assert all(map(known.add, keys))
    assert type(known.keys) is set
    assert not any(map(known.add, keys))


@pytest.mark.parametrize("again", ["k00000", "k01000"])
def test_a_key_that_comes_again_with_the_accelerator_and_without(scan, read, again):
    """After so many that rise, also in bytes that are no UTF-8, and after some that do not."""
    names = [f"k{number:05}.x" for number in range(2000)]
    for more in ([], ["\udcff.x", "\uffff.x", "\U00010000.x"], ["a.x", "b.x"]):
        data = shard([*names, *more, again + ".y", "z.x"])
        chunks = [data[start : start + 300_000] for start in range(0, len(data), 300_000)]
        found = read(chunks, scan)
        assert found == read(chunks, None)
        assert sum(RepeatedKeyError in entry[1] for entry in found if isinstance(entry, tuple) and type(entry[1]) is tuple) == 1
