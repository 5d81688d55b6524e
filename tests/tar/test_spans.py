"""The accelerator on files: which samples it finds by their headers, and where it leaves off."""

import os
import sys
from contextlib import closing

import pytest
from processes import leave_out

from asyncwds.tar import find_span_scanner

END = bytes(1024)


@pytest.fixture
def find(accelerator, tmp_path):
    """`find(data, offset=0, enough=…) -> (keys, offsets)` in a file of these bytes."""
    if accelerator is None:
        leave_out("the accelerator is missing: it is compiled where there are a C compiler and the headers of Python")

    def find(data, offset=0, enough=1 << 20, most=1 << 20):
        (tmp_path / "a.tar").write_bytes(data)
        with (tmp_path / "a.tar").open("rb") as file:
            return accelerator.find_spans(file.fileno(), offset, len(data), enough, most, 10_000)

    return find


def test_samples_but_the_last_are_found(find, entry, pax):
    parts = [entry("a.x", b"1") + entry("a.y", b"2" * 600), pax({"path": "d/b.x"}) + entry("cut", b"3"), entry("c.x", b"4")]
    data = b"".join(parts) + END
    ends = [0, len(parts[0]), len(parts[0] + parts[1])]
    assert find(data) == (["a", "d/b"], ends)
    assert find(data, ends[1]) == (["d/b"], ends[1:])
    assert find(data, ends[2]) == ([], ends[2:])
    assert find(data, len(data)) == ([], [len(data)])


def test_any_distance_between_headers(find, entry):
    sizes = [0, 1, 511, 512, 3000, 3584, 4096, 8000, 60_000, 66_000, 200_000, 5, 5, 5]
    parts = [entry(f"{number}.x", b"1" * size) for number, size in enumerate(sizes)]
    offsets = [sum(map(len, parts[:number])) for number in range(len(parts))]
    assert find(b"".join(parts)) == ([f"{number}" for number in range(len(parts) - 1)], offsets)


@pytest.mark.parametrize(
    "odd", [{"kind": b"5"}, {"kind": b"L"}, {"kind": b"g"}, {"prefix": b"p"}, {"size_field": b" 1"}, {"size": 5000}, {"name": "b"}]
)
def test_it_ends_before_the_sample_that_may_be_odd(find, entry, header, odd):
    plain = entry("a.x", b"1") + entry("b.x", b"1")
    odd_one = header(**{"name": "b.y", **odd}) + bytes(5120)
    assert find(plain + odd_one + entry("c.x", b"1") + END, most=4999) == (["a"], [0, 1024])


def test_headers_longer_than_the_window_are_left_to_the_parser(find, entry, pax):
    plain = entry("a.x", b"1") + entry("b.x", b"1")
    for length, found in ((3000, ["a", "b"]), (9000, ["a"])):
        data = plain + pax({"comment": "c" * length}) + entry("c.x", b"1") + entry("d.x", b"1")
        assert find(data)[0][:2] == found


def test_it_ends_when_it_is_enough(find, entry):
    data = b"".join(entry(f"{number}.x", b"1") for number in range(10)) + END
    assert find(data, enough=2048) == (["0", "1"], [0, 1024, 2048])
    assert find(data, 1024, enough=1) == (["1"], [1024, 2048])


def test_a_file_that_is_cut_or_cannot_be_read(find, entry, accelerator, tmp_path):
    data = entry("a.x", b"1") + entry("b.x", b"2" * 600)
    for cut in range(0, len(data), 100):
        assert find(data[:cut])[0] == []
    assert find(data + entry("c.x", b"")[:512])[0] == ["a", "b"]
    with closing(os.fdopen(os.open(tmp_path / "a.tar", os.O_WRONLY), "wb")) as file:
        assert accelerator.find_spans(file.fileno(), 0, 4096, 4096, 4096, 4096) == ([], [0])


def test_nothing_is_kept(find, entry):
    data = entry("long" * 20 + ".x", b"1") + entry("b.x", b"2") + END
    own = [str(2**70)], [1000, 2000]
    counts = [[sys.getrefcount(thing) for thing in (made[0], made[1], made[0][0])] for made in (find(data), own)]
    assert counts[0] == counts[1]


def test_a_variable_turns_it_off(monkeypatch):
    monkeypatch.setenv("ASYNCWDS_PURE", "1")
    assert find_span_scanner() is None
