"""Repaired shards: nothing wrong that can be put right, and nothing lost without a word."""

import gzip
import io
import tarfile

import pytest

from asyncwds import WebDataset
from asyncwds.testing import FaultServer
from asyncwds.tools import Inputs, Outputs, repair_shards, verify_shards

NOT_REPAIRED = {"W09", "W12", "W14", "W15", "W16", "W17", "W18", "W19", "W22", "W23", "W24", "W25", "W33", "W40"}


def repair(data, folder, name="s.tar"):
    """What became of it, and the repaired shard; None where nothing was left."""
    (folder / name).write_bytes(data)
    done = repair_shards(Inputs(urls=[str(folder / name)]), Outputs(target=str(folder / "fixed-{shard}.tar")))
    written = folder / "fixed-0.tar"
    return done, written.read_bytes() if written.exists() else None


def members(data):
    """Name and payload, as tarfile has them."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [(each.name, archive.extractfile(each)) for each in archive if each.isreg()]
        return [(name, file.read()) for name, file in files if file is not None]


def samples(path):
    """What readers get, and with it whatever goes wrong."""
    dataset = WebDataset(str(path), shardshuffle=False, handler=lambda _: True, empty_check=False)
    return [{name: value for name, value in sample.items() if name not in ("__url__", "__local_path__")} for sample in dataset]


def check_repaired(data, folder):
    before = samples_of(data, folder)
    done, fixed = repair(data, folder)
    report = done.report
    assert report.samples_in == report.samples_out + sum(report.dropped.values())
    if fixed is None:
        assert not report.samples_out
        return
    result = verify_shards(Inputs(urls=[str(folder / "fixed-0.tar")]))
    assert result.counts.keys() <= NOT_REPAIRED, result.findings
    assert result.samples == report.samples_out
    dropped = {drop.key for drop in done.drops}
    after = samples(folder / "fixed-0.tar")
    whole = [value for sample in after for name, value in sample.items() if name != "__key__"]
    for sample in before:
        for name, value in sample.items():
            assert name == "__key__" or value in whole or sample["__key__"] in dropped


def samples_of(data, folder):
    (folder / "before.tar").write_bytes(data)
    return samples(folder / "before.tar")


@pytest.mark.filterwarnings("ignore::asyncwds.errors.ShardWarning")
def test_what_can_be_put_right_is(bad_archive, tmp_path):
    check_repaired(bad_archive, tmp_path)


@pytest.mark.filterwarnings("ignore::asyncwds.errors.ShardWarning")
def test_examples_of_rules_are_put_right(rule, bad_shard, tmp_path):
    check_repaired(bad_shard, tmp_path)


def test_a_sound_shard_is_copied_byte_for_byte(archive, tmp_path):
    sound = archive("a.jpg", "a.txt", "README", "b.jpg", "__info__/x.json", "b.txt")
    done, fixed = repair(sound, tmp_path)
    assert fixed is not None
    assert fixed[: len(sound)] == sound
    assert not fixed[len(sound) :].strip(b"\0")
    assert (done.lost, done.drops, +done.repaired) == (False, [], {})


def test_scattered_members_are_put_together(archive, tmp_path):
    done, fixed = repair(archive("a.jpg", "b.jpg", "a.txt", "c.jpg", "b.txt", "a.json"), tmp_path)
    assert [name for name, _ in members(fixed)] == ["a.jpg", "a.txt", "a.json", "b.jpg", "b.txt", "c.jpg"]
    assert (+done.repaired, done.drops) == ({"W10": 3}, [])


def test_samples_with_one_key_get_keys_of_their_own_unless_they_are_copies(archive, tmp_path):
    pieces = [("a.jpg", b"1"), ("a.txt", b"1"), ("b.jpg", b"b"), ("a.jpg", b"2"), ("a.txt", b"2"), ("a-1.jpg", b"x")]
    copies = [("b.jpg", b"b"), ("a.jpg", b"1"), ("a.txt", b"1")]
    done, fixed = repair(archive(*pieces, *copies), tmp_path)
    renamed = [("a-2.jpg", b"2"), ("a-2.txt", b"2")]
    assert members(fixed) == [*pieces[:3], *renamed, pieces[5]]
    assert [(drop.key, drop.reason) for drop in done.drops] == [(key, "a copy of another one with its key") for key in ("b", "a")]
    assert not done.lost


def test_fields_that_come_twice(archive, tmp_path):
    done, fixed = repair(archive(("a.jpg", b"1"), ("a.JPG", b"2"), ("a.txt", b"3"), ("b.jpg", b"4"), ("b.jpg", b"4")), tmp_path)
    assert members(fixed) == [("a.jpg", b"1"), ("a.txt", b"3"), ("a-1.jpg", b"2"), ("b.jpg", b"4")]
    assert not done.lost


def test_names(archive, tmp_path):
    done, fixed = repair(archive("/x/a.JPG", "../../a.txt", "b/../c.jpg"), tmp_path)
    assert [name for name, _ in members(fixed)] == ["x/a.jpg", "a.txt", "b/c.jpg"]
    assert (+done.repaired, done.drops) == ({"W20": 3}, [])


def test_behind_a_damaged_header_it_goes_on(archive, tmp_path):
    names = [f"{key}.{field}" for key in "abcdef" for field in ("jpg", "txt")]
    data = bytearray(archive(*names))
    data[names.index("c.txt") * 1024 + 20] ^= 1
    done, fixed = repair(bytes(data), tmp_path)
    assert [name for name, _ in members(fixed)] == [name for name in names if name[0] != "c"]
    assert [(drop.key, drop.offset) for drop in done.drops] == [(None, 5 * 1024), ("c", 4 * 1024)]
    assert done.lost
    assert done.report.samples_in == 6


def test_an_archive_within_a_lost_member_stays_there(archive, tmp_path):
    inner = archive("x.jpg", "y.jpg")
    data = bytearray(archive("a.jpg", ("b.tar", inner), "c.jpg"))
    data[1024] ^= 1
    _, fixed = repair(bytes(data), tmp_path)
    assert [name for name, _ in members(fixed)] == ["a.jpg", "c.jpg"]


@pytest.mark.parametrize("cut", [4000, 4096, 4608, 5000])
def test_of_a_cut_archive_the_whole_samples_stay(cut, archive, tmp_path):
    data = archive("a.jpg", "a.txt", ("b.jpg", b"1" * 600), ("b.txt", b"2" * 600))
    done, fixed = repair(data[:cut], tmp_path)
    whole = cut >= 4696  # where the payload of b.txt ends; its padding is made anew
    assert [name for name, _ in members(fixed)] == ["a.jpg", "a.txt"] + ["b.jpg", "b.txt"] * whole
    assert done.lost != whole


def test_a_shard_from_elsewhere_that_is_compressed_and_cut(archive, tmp_path):
    data = gzip.compress(archive(*[f"{key}.{field}" for key in range(50) for field in ("jpg", "txt")]))
    with FaultServer({"s.tar": data[:-200]}) as server:
        target = str(tmp_path / "fixed-{shard}.tar")
        done = repair_shards(Inputs(urls=[server.url("s.tar")]), Outputs(target=target), temporary=str(tmp_path))
    kept = samples(tmp_path / "fixed-0.tar")
    assert 10 < len(kept) < 50
    assert done.report.samples_out == len(kept)
    assert done.lost
    assert [path.name for path in tmp_path.iterdir()] == ["fixed-0.tar"]
