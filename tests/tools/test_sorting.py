"""`sort` and `shuffle` as functions."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from asyncwds.errors import SampleError, SpecError
from asyncwds.testing import FaultServer, leaks
from asyncwds.tools import Inputs, Outputs, Selection, shuffle_samples, sort_samples


def keys_of(members: Any) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name, _ in members))


@pytest.fixture
def scattered(write: Any) -> Any:
    """Samples with a number that many share, in two shards; one has none."""

    def scattered(count: int = 200) -> list[str]:
        rng = random.Random(5)
        members = [(f"{number:04d}.json", b'{"n": %d}' % rng.randrange(-5, 12)) for number in range(count)]
        members.insert(7, ("none.json", b"{}"))
        return [write("a.tar", members[:90]), write("b.tar", members[90:])]

    return scattered


@pytest.mark.parametrize("source", ["local", "http"])
@pytest.mark.parametrize("memory", [1 << 28, 30_000])
@pytest.mark.parametrize("reverse", [False, True])
def test_numbers_in_order_and_duplicates_kept(
    source: str, memory: int, reverse: bool, scattered: Any, members_of: Any, tmp_path: Path
) -> None:
    """tarsort and tarp lost all but one of the samples with the same value; as text 10 came before 9."""
    shards = scattered()
    found = members_of(*shards)
    numbers = {name: int(data[6:-1]) for name, data in found if data != b"{}"}
    expected = sorted(numbers, key=lambda name: -numbers[name] if reverse else numbers[name])
    with leaks(), FaultServer(tmp_path) as server:
        urls = [server.url(Path(path).name) for path in shards] if source == "http" else shards
        inputs = Inputs(urls=urls, memory=memory)
        report = sort_samples(inputs, Outputs(target=str(tmp_path / "out.tar")), by="json.n", kind="int", reverse=reverse)
    assert [name for name, _ in members_of(tmp_path / "out.tar")] == [*expected, "none.json"]
    assert (report.samples_in, report.samples_out) == (201, 201)


def test_by_key_with_duplicates(write: Any, members_of: Any, tmp_path: Path) -> None:
    shards = [write("a.tar", [("b.txt", b"1"), ("a.txt", b"2"), ("c.txt", b"3")]), write("b.tar", [("a.txt", b"4"), ("a.b", b"5")])]
    with pytest.raises(SampleError, match="two samples in a row"):
        sort_samples(Inputs(urls=shards), Outputs(target=str(tmp_path / "out.tar")))
    report = sort_samples(Inputs(urls=shards), Outputs(target=str(tmp_path / "out.tar"), same_key="number"))
    assert members_of(tmp_path / "out.tar") == [
        ("a.txt", b"2"),
        ("a-1.txt", b"4"),
        ("a-1.b", b"5"),
        ("b.txt", b"1"),
        ("c.txt", b"3"),
    ]
    assert report.renumbered == 1


def test_scattered_members_come_together(write: Any, members_of: Any, tmp_path: Path) -> None:
    shard = write("a.tar", [("a.jpg", b"1"), ("b.jpg", b"2"), ("a.txt", b"3"), ("b.txt", b"4"), ("b.jpg", b"5"), ("a.txt", b"6")])
    report = sort_samples(Inputs(urls=[shard]), Outputs(target=str(tmp_path / "out.tar"), same_key="number"), regroup=True)
    assert [name for name, _ in members_of(tmp_path / "out.tar")] == ["a.jpg", "a.txt", "a-1.txt", "b.jpg", "b-1.txt", "b-1.jpg"]
    assert dict(report.dropped) == {"joined with others of their key": 1}
    assert report.samples_in == 5


@pytest.mark.parametrize(("by", "kind"), [("json.n", "int"), ("json.n", "float")])
def test_what_is_no_number(by: str, kind: Any, write: Any) -> None:
    shard = write("a.tar", [("a.json", b'{"n": "many"}')])
    with leaks(), pytest.raises(SampleError, match="which is no number"):
        sort_samples(Inputs(urls=[shard]), Outputs(target=None, dry_run=True), by=by, kind=kind)


@pytest.mark.parametrize("memory", [1 << 28, 20_000])
def test_shuffle_is_the_same_for_a_seed_from_wherever(memory: int, numbered: Any, members_of: Any, tmp_path: Path) -> None:
    """tarp's order was the same in every run; tarproc's `ishuffle` failed with fewer samples than its buffer."""
    shard = numbered("a.tar", 150)
    orders = []
    with leaks(), FaultServer(tmp_path) as server:
        for number, (url, seed) in enumerate([(shard, 1), (server.url("a.tar"), 1), (shard, 2)]):
            target = str(tmp_path / f"{number}.out.tar")
            report = shuffle_samples(Inputs(urls=[url], memory=memory), Outputs(target=target), seed=seed)
            assert (report.samples_in, report.samples_out) == (150, 150)
            orders.append(keys_of(members_of(target)))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == [f"{number:04d}" for number in range(150)]
    assert (tmp_path / "0.out.tar").read_bytes() == (tmp_path / "1.out.tar").read_bytes()


def test_every_order_is_as_likely(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    shard = numbered("a.tar", 3)
    orders = []
    for seed in range(40):
        shuffle_samples(Inputs(urls=[shard]), Outputs(target=str(tmp_path / "out.tar"), force=True), seed=seed)
        orders.append(tuple(keys_of(members_of(tmp_path / "out.tar"))))
    assert len(set(orders)) == 6
    assert max(orders.count(order) for order in set(orders)) < 20


@pytest.mark.parametrize("buffer", [1, 7, 1000])
def test_a_buffer(buffer: int, numbered: Any, members_of: Any, tmp_path: Path) -> None:
    shuffle_samples(Inputs(urls=[numbered("a.tar", 40)]), Outputs(target=str(tmp_path / "out.tar")), seed=3, buffer=buffer)
    keys = [int(key) for key in keys_of(members_of(tmp_path / "out.tar"))]
    assert sorted(keys) == list(range(40))
    assert (keys == list(range(40))) == (buffer == 1)
    assert all(key < place + buffer for place, key in enumerate(keys))


def test_a_selection_and_several_shards(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    outputs = Outputs(target=str(tmp_path / "{shard}.out.tar"), max_count=4)
    report = shuffle_samples(Inputs(urls=[numbered()]), outputs, Selection(where="cls != 3"), seed=1)
    assert [shard["samples"] for shard in report.shards] == [4, 4, 4, 4, 2]
    assert len(set(keys_of(members_of(*tmp_path.glob("*.out.tar"))))) == 18


def test_members_are_brought_together_by_key_only(numbered: Any) -> None:
    with pytest.raises(SpecError, match="by their key"):
        sort_samples(Inputs(urls=[numbered()]), Outputs(target=None, dry_run=True), by="cls", regroup=True)
