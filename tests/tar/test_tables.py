"""The accelerator makes rows of a table of sound samples: which it takes, and where it leaves off."""

import sys
from array import array

import pytest
from processes import leave_out

from asyncwds.tar import TarParser, find_table_scanner

END = bytes(1024)


@pytest.fixture
def take(accelerator):
    """`take(data, pending=None, …) -> (stop, odd, [(key, offset, fields)])`."""
    if accelerator is None:
        leave_out("the accelerator is missing: it is compiled where there are a C compiler and the headers of Python")

    def take(data, pending=None, pax=b"", most=1 << 20):
        schemas = []
        stop, odd, keys, hashes, *columns = accelerator.take_table(data, 0, len(data), 7, most, 1000, pax, pending, {}, schemas)
        names, (offsets, numbers) = keys.decode().split("\0")[:-1], [array("q", column) for column in columns]
        assert array("q", hashes).tolist() == [hash(name) for name in names]
        return stop, odd, [(key, at, schemas[number]) for key, at, number in zip(names, offsets, numbers, strict=True)]

    return take


def test_whole_samples_are_taken(take, entry):
    data = b"".join(entry(name, b"1") for name in ("d/a.x", "d/a.seg.png", "b.x", "c.x", "c.seg.png", "e.x")) + END
    rows = [("d/a", 7, ("x", "seg.png")), ("b", 2055, ("x",)), ("c", 3079, ("x", "seg.png"))]
    assert take(data) == (5120, True, rows)
    assert take(data[: 5 * 1024 + 600]) == (3072, False, rows[:2])


@pytest.mark.parametrize(
    "odd",
    [
        {"name": name}
        for name in (
            "b.X",
            "b",
            "b.",
            ".x",
            "__b.x",
            "b._x",
            "b..x",
            "/b.x",
            "d//b.x",
            "d.e/b.x",
            "b c.x",
            "../b.x",
            "b." + "s" * 30,
        )
    ]
    + [{"kind": b"5"}, {"kind": b"x"}, {"prefix": b"p"}, {"size": 0}, {"size": 600}, {"name": "a.x"}],
)
def test_it_ends_before_a_sample_that_may_be_odd(take, entry, header, odd):
    plain = entry("z.x", b"1") + entry("a.x", b"1")
    data = plain + header(**{"name": "a.y", "size": 1, **odd}) + bytes(1024) + entry("c.x", b"1") + END
    assert take(data, most=599) == (1024, True, [("z", 7, ("x",))])


def test_the_rest_of_a_sample_is_left_to_the_parser(take, entry):
    data = entry("a.x", b"1") + entry("b.x", b"1") + END
    assert take(data, b"a") == (0, True, [])
    assert take(data, b"c")[2] == [("a", 7, ("x",))]


def test_pax_headers_of_a_form_that_was_seen(take, entry, pax):
    headed = pax({"mtime": "1.5"}) + entry("a.x", b"1")
    parser = TarParser("u", max_member_bytes=10)
    parser.feed(headed)
    assert take(headed + entry("b.x", b"1"), pax=parser.pax_form)[2] == [("a", 7, ("x",))]
    assert take(headed + entry("b.x", b"1"))[2] == []
    named = pax({"path": "b.x"}) + entry("cut", b"1")
    assert take(named + entry("c.x", b"1"), pax=parser.pax_form)[2] == []


def test_nothing_is_kept(accelerator, take, entry):
    numbers, schemas = {}, []
    data = entry("a.x", b"1") + entry("b.y", b"1") + entry("c.x", b"1") + END
    counts = []
    for _ in range(3):
        accelerator.take_table(data, 0, len(data), 0, 10, 10, b"", None, numbers, schemas)
        counts.append([sys.getrefcount(thing) for thing in (data, numbers, schemas, schemas[0], schemas[1])])
    assert counts[0] == counts[1] == counts[2]


def test_a_variable_turns_it_off(monkeypatch):
    monkeypatch.setenv("ASYNCWDS_PURE", "1")
    assert find_table_scanner() is None
