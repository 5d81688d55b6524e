"""The accelerator: what it takes, and that nobody can tell. The other tests of this folder compare it too, see conftest."""

import gc
import io
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import weakref
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import leave_out

from asyncwds.engine import ReadOptions, ShardReader
from asyncwds.shards import Shard
from asyncwds.tar import Grouper, find_scanner

COMPILE = Path(__file__).parents[2] / "asyncwds" / "tar" / "compile_scan.py"
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
END = bytes(1024)

names = st.sampled_from(
    ["a.x", "a.y", "a.X", "b.x", "b.tar.gz", "d/c.x", "d.e/c.Y", "d/.x", ".x", "a", "a.", "__m__/i.x", "__a.b__", "_a.x", "a._b",
     "a.__key__", "a.__bad__", "ä.x", "a.ä", "é" * 60 + ".x", "long/" * 30 + "a.x", "a." + "s" * 30, "d/"]
)  # fmt: skip
members = st.lists(st.tuples(names, st.sampled_from([0, 1, 511, 512, 600])), max_size=8)


def written(files, form, mtime):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, (name, size) in enumerate(files):
            if form == tarfile.USTAR_FORMAT and len(name.encode()) > 100:
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mtime = size, mtime
            tar.addfile(info, io.BytesIO(b"%d" % number * size))
    return buffer.getvalue()


def takes(scan, data, **limits):
    """How many bytes of it a run takes, and the samples that it completes."""
    samples = []
    grouper = Grouper("u", 2)
    run = grouper.runs(scan, **{"max_member_bytes": 1000, "max_header_bytes": 1000, **limits})
    if run is None:
        leave_out("the accelerator is missing: it is compiled where there are a C compiler and the headers of Python")
    stopped, odd = run(data, 0, len(data), 0, [])
    return stopped, odd, samples + grouper.feed([]) + grouper.finish()


def test_it_compiles_without_a_warning(tmp_path):
    able = shutil.which("cc") is not None and not sysconfig.get_config_var("Py_GIL_DISABLED")
    done = subprocess.run([sys.executable, COMPILE, tmp_path / "_scan.abi3.so", "-Werror"], check=False)
    assert (done.returncode == 0) == able


def test_without_a_compiler_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "no-compiler"))
    assert subprocess.run([sys.executable, COMPILE, tmp_path / "_scan.abi3.so"], check=False).returncode == 1
    assert not list(tmp_path.iterdir())


def test_a_variable_turns_it_off(monkeypatch):
    built = find_scanner()
    monkeypatch.setenv("ASYNCWDS_PURE", "1")
    assert find_scanner() is None
    monkeypatch.setenv("ASYNCWDS_PURE", "0")
    assert find_scanner() is built


@pytest.mark.parametrize(("form", "mtime"), [(tarfile.USTAR_FORMAT, 1), (tarfile.PAX_FORMAT, 1.5)])
def test_what_tarfile_and_webdataset_write_is_taken_whole(scan, form, mtime):
    data = written([("a/a.x", 3), ("a/a.Y", 0), ("b.x", 600)], form, mtime)
    stopped, _, samples = takes(scan, data)
    assert data[stopped:].strip(b"\0") == b""
    assert samples == [
        {"__key__": "a/a", "__url__": "u", "x": b"000", "y": b""},
        {"__key__": "b", "__url__": "u", "x": b"2" * 600},
    ]
    assert [sample.origin for sample in samples] == [(2, 0, 0), (2, 1, data.index(b"b.x") if mtime == 1 else samples[1].origin[2])]
    assert data[samples[1].origin.offset + 156 :][:1] == (b"0" if mtime == 1 else b"x")


def test_a_key_that_is_not_greater_than_the_one_before_is_left_to_the_parser_once(scan, entry):
    b, a = entry("b.x", b"1"), entry("a.x", b"2")
    assert takes(scan, b + a + END)[:2] == (len(b), True)
    grouper = Grouper("u", 0)
    run = grouper.runs(scan, max_member_bytes=1000, max_header_bytes=1000)
    grouper.feed([("b.x", b"", 0), ("a.x", b"", 1024)])
    assert run is not None
    assert run(entry("c.x", b"3") + entry("0.x", b"4"), 0, 2048, 2048, []) == (2048, False)


@pytest.mark.parametrize(
    "odd",
    [
        {"kind": b"\0"},
        {"kind": b"5"},
        {"kind": b"S"},
        {"kind": b"L"},
        {"kind": b"g"},
        {"prefix": b"p"},
        {"size_field": b"\x80" + bytes(10) + b"\1"},
        {"size_field": b" 1"},
        {"size_field": b"1001x"},
        {"size": 1001},
    ],
)
def test_every_other_header_is_left_to_the_parser(scan, entry, header, odd):
    plain = entry("a.x", b"1")
    stopped, goes_on, samples = takes(scan, plain + header("b.x", **odd) + bytes(2048))
    assert (stopped, goes_on, len(samples)) == (len(plain), True, 1)


@pytest.mark.parametrize(
    "records", [{"size": "1"}, {"GNU.sparse.size": "1"}, {"SUN.holesdata": "1"}, {"path": ""}, {"path": "b"}, {"path": "__b.x"}]
)
def test_records_that_bear_on_more_than_a_name_are_left_to_the_parser(scan, entry, pax, records):
    plain = entry("a.x", b"1")
    assert takes(scan, plain + pax(records) + entry("b.x", b"2") + END)[0] == len(plain)
    sound = pax({"path": "c.x", "comment": "path=no", "mtime": "1.5"})
    assert [sample["__key__"] for sample in takes(scan, sound + entry("b.x", b"2") + END)[2]] == ["c"]


def test_a_member_that_reaches_beyond_the_chunk_is_left_to_the_parser(scan, entry, pax):
    whole = pax({"path": "c.x"}) + entry("b.x", b"2" * 600)
    for cut in range(0, len(whole), 100):
        assert takes(scan, whole[:cut])[:2] == (0, False)
    assert takes(scan, whole)[0] == len(whole)


def test_every_kind_of_cut(scan, read, entry, pax):
    data = (
        entry("a.x", b"1" * 100)
        + entry("a.y", b"2" * 600)
        + pax({"mtime": "1.5"})
        + entry("b.x", b"3")
        + entry("././@LongLink", b"b.y\0", b"L")
        + entry("cut", b"4")
        + entry("b.x", b"again")
        + entry("a.x", b"again")
        + pax({"path": "ü.x"})
        + entry("cut", b"5")
        + entry("c", b"")
        + entry("d.x", b"6")
        + END
    )
    for cut in sorted({*range(1, len(data), 13), *(edge + near for edge in range(512, len(data), 512) for near in (-1, 0, 1))}):
        chunks = [data[:cut], data[cut:]]
        assert read(chunks, scan) == read(chunks, None), cut


@given(
    files=members,
    form=st.sampled_from(FORMATS),
    mtime=st.sampled_from([0, 1.5]),
    size=st.sampled_from([300, 512, 1024, 5000, 1 << 20]),
    most=st.sampled_from([511, 1 << 30]),
    strict=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 255)), max_size=2),
    cut=st.integers(0, 30_000),
)
@settings(max_examples=150, deadline=None)
def test_any_archive(scan, read, files, form, mtime, size, most, strict, changes, cut):
    data = bytearray(written(files, form, mtime)[:cut])
    for place, change in changes:
        if place < len(data):
            data[place] ^= change
    chunks = [bytes(data[start : start + size]) for start in range(0, len(data), size)]
    options = {"max_member_bytes": most, "strict": strict, "total": len(data) if cut % 2 else None}
    assert read(chunks, scan, **options) == read(chunks, None, **options)


def test_samples_of_a_shard_reader(scan, monkeypatch):
    data = written([(f"{n}.{suffix}", n % 700) for n in range(200) for suffix in ("a", "b")], tarfile.PAX_FORMAT, 0.5)

    def blocks():
        reader = ShardReader(Shard("u", 0), len(data), None, ReadOptions(1 << 20))
        for start in range(0, len(data), 10_000):
            yield from reader.feed(memoryview(data)[start : start + 10_000])
        yield from reader.finish()

    fast = list(blocks())
    monkeypatch.setenv("ASYNCWDS_PURE", "1")
    assert list(blocks()) == fast
    assert sum(len(block.samples) for block in fast) == 200


class Marked:
    """Something that can be referred to weakly."""


def test_a_sample_in_a_circle_is_collected(scan, entry):
    """Samples are hidden from the collector, as they refer to nothing that refers back; until they are made to."""
    (sample,) = takes(scan, entry("a.x", b"1"))[2]
    marked = Marked()
    sample["me"], sample["marked"] = [sample], marked
    gone = weakref.ref(marked)
    del sample, marked
    gc.collect()
    assert gone() is None


def test_nothing_is_kept(scan, entry):
    chunk = memoryview(bytearray(entry("a.x", b"1") + entry("b.x", b"2")))
    counts = []
    for _ in range(3):
        samples = takes(scan, chunk)[2]
        counts.append([sys.getrefcount(thing) for thing in (samples[0], samples[0]["__key__"], samples[0]["x"], chunk)])
    assert counts[0] == counts[1] == counts[2]
    chunk.release()  # a BufferError, if it were
