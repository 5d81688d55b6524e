"""Faults of content, as the parser, the grouping and the decompression meet them. Each in several chunkings (see conftest)."""

import gzip
import io
import tarfile
import tracemalloc

import pytest

from asyncwds.compression import Decompressor
from asyncwds.errors import DuplicateFieldError, TarHeaderError, TruncatedTarError
from asyncwds.tar import Grouper, TarParser
from asyncwds.testing import make_samples, make_shard

END = bytes(1024)
GIB = 1 << 30


def grouped(members):
    grouper = Grouper("mem:shard.tar", 0)
    return [*grouper.feed(members), *grouper.finish()], grouper


@pytest.mark.parametrize("place", [0, 99, 110, 124, 135, 150, 156, 257, 300, 345, 511])
@pytest.mark.parametrize("member", [0, 1, 2])
def test_fault_19_one_flipped_byte_in_a_header(parse, entry, place, member):
    data = bytearray(b"".join(entry(f"{n}.txt", b"%d" % n) for n in range(4)) + END)
    offset = member * 1024
    data[offset + place] ^= 0x11
    members, error = parse(bytes(data))
    assert [name for name, _, _ in members] == [f"{n}.txt" for n in range(member)]
    assert isinstance(error, TarHeaderError)
    assert (error.url, error.offset) == ("mem:shard.tar", offset)


def test_fault_19_a_header_wiped_out(parse, entry):
    data = entry("a.txt", b"1") + bytes(512) + entry("c.txt", b"3") + END
    members, error = parse(data)
    assert [name for name, _, _ in members] == ["a.txt"]
    assert isinstance(error, TarHeaderError)


def test_fault_20_truncated_anywhere(parse, entry, pax):
    """Every cut but behind the first of the two zero blocks, which says that no member is missing."""
    data = entry("a.txt", b"1" * 600) + pax({"path": "b/c.txt"}) + entry("b.txt", b"22") + END
    for cut in [*range(1, 40), *range(500, 530), *range(1000, len(data) - 512, 37), *range(512, len(data) - 512, 512)]:
        members, error = parse(data[:cut])
        assert isinstance(error, TruncatedTarError), cut
        assert error.url == "mem:shard.tar"
        assert 0 <= error.offset <= cut
        assert len(members) == (cut >= 512 + 600) + (cut >= 3 * 1024 + 2)
    assert parse(data[:-512])[1] is None
    assert parse(data[:-1])[1] is None


@pytest.mark.parametrize(
    ("cut", "place", "offset"),
    [
        (700, "in member 'a.txt'", 0),
        (1200, "in member 'a.txt'", 0),
        (1600, "in a header", 1536),
        (1536, "without an end-of-archive mark", 1536),
    ],
)
def test_fault_20_the_error_says_where(parse, entry, cut, place, offset):
    data = entry("a.txt", b"1" * 600) + entry("b.txt", b"2" * 600) + END
    _, error = parse(data[:cut])
    assert place in str(error)
    assert error.offset == offset


def test_fault_20_the_open_sample_can_be_named(parse, entry):
    members, error = parse(entry("a.jpg", b"1") + entry("b.jpg", b"2") + entry("b.cls", b"3" * 600)[:900])
    grouper = Grouper("mem:shard.tar", 0)
    assert [sample["__key__"] for sample in grouper.feed(members)] == ["a"]
    assert grouper.pending_key == "b"
    assert isinstance(error, TruncatedTarError)


def test_fault_20_a_known_total_tells_at_once(header, entry):
    parser = TarParser("mem:shard.tar", total=5000, max_member_bytes=GIB)
    assert parser.feed(entry("a.txt", b"1") + header("b.txt", 4000)) == [("a.txt", b"1", 0)]
    assert isinstance(parser.error, TruncatedTarError)
    assert parser.error.offset == 1024
    assert "b.txt" in str(parser.error)


def test_fault_21_empty_shards(parse):
    _, error = parse(b"")
    assert isinstance(error, TarHeaderError)
    assert "empty" in str(error)
    assert (error.url, error.offset) == ("mem:shard.tar", 0)
    assert parse(END) == ([], None)  # an archive of no members is sound
    assert parse(bytes(10240)) == ([], None)


@pytest.mark.parametrize("size", [50, 5000])
def test_fault_21_an_html_page_in_place_of_a_shard(parse, size):
    for page in (b"<!DOCTYPE html><title>Not today", b"\n\n <html>", b"<?xml version='1.0'?><Error><Code>AccessDenied"):
        members, error = parse(page.ljust(size))
        assert members == []
        assert isinstance(error, TarHeaderError)
        assert "HTML" in str(error)


def test_fault_22_empty_members(parse, entry):
    members, error = parse(entry("a.jpg") + entry("a.cls", b"1") + entry("b.jpg") + END)
    assert error is None
    assert [dict(sample) for sample in grouped(members)[0]] == [
        {"__key__": "a", "__url__": "mem:shard.tar", "jpg": b"", "cls": b"1"},
        {"__key__": "b", "__url__": "mem:shard.tar", "jpg": b""},
    ]


def test_fault_23_names_and_sizes_in_all_their_forms(parse, entry, pax):
    long = "ordner/" * 40 + "ü.jpg"
    base256 = b"\x80" + (5).to_bytes(11, "big")
    pieces = {
        "ustar prefix": (entry("b.jpg", b"1", prefix=b"some/folder"), "some/folder/b.jpg", b"1"),
        "v7": (entry("old.jpg", b"2", b"\0", magic=bytes(8)), "old.jpg", b"2"),
        "contiguous": (entry("contiguous.jpg", b"3", b"7"), "contiguous.jpg", b"3"),
        "base-256": (entry("big.jpg", b"45678", size_field=base256), "big.jpg", b"45678"),
        "gnu long name": (entry("././@LongLink", long.encode() + b"\0", b"L") + entry("cut", b"9"), long, b"9"),
        "pax path": (pax({"path": "ü/é.jpg"}) + entry("cut", b"a"), "ü/é.jpg", b"a"),
        "pax size": (pax({"size": "3"}) + entry("p.jpg", b"bcd", size_field=b"0"), "p.jpg", b"bcd"),
        "not UTF-8": (entry(b"\xff\xfe.jpg", b"e"), "\udcff\udcfe.jpg", b"e"),
        "parent": (entry("../../etc/a.jpg", b"f"), "../../etc/a.jpg", b"f"),
        "absolute": (entry("/etc/a.jpg", b"g"), "/etc/a.jpg", b"g"),
    }
    for form, (raw, name, data) in pieces.items():
        members, error = parse(entry("before.jpg") + raw + entry("after.jpg") + END)
        assert error is None, form
        assert [member[:2] for member in members] == [("before.jpg", b""), (name, data), ("after.jpg", b"")], form


def test_fault_23_what_is_no_file_is_passed_over(parse, entry):
    """Links, devices, directories (with a size that means nothing), long link targets, unknown types with a payload."""
    skipped = [entry("link", b"", kind, size_field=b"1000") for kind in (b"1", b"2", b"3", b"4", b"5", b"6")]
    skipped += [entry("old/", b"", b"\0", size_field=b"1000"), entry("x", b"target\0", b"K") + entry("link", b"", b"2")]
    skipped += [entry("unknown", b"payload", b"A"), entry("dump", b"payload" * 100, b"D"), entry("volume", b"", b"V")]
    members, error = parse(b"".join(skipped) + entry("a.jpg", b"1") + END)
    assert error is None
    assert [member[:2] for member in members] == [("a.jpg", b"1")]


def test_fault_23_global_headers(parse, entry, pax):
    data = pax({"comment": "0123456"}, b"g") + entry("a.jpg", b"1") + entry("b.jpg", b"2") + END
    assert parse(data) == ([("a.jpg", b"1", 1024), ("b.jpg", b"2", 2048)], None)


@pytest.mark.parametrize("keyword", ["GNU.sparse.major", "GNU.sparse.map", "SCHILY.realsize", "SUN.holesdata"])
def test_fault_23_sparse_members_of_which_the_form_is_not_known_are_refused(parse, entry, pax, keyword):
    sparse = pax({keyword: "1"}) + entry("a.bin", b"data")
    members, error = parse(entry("a.jpg", b"1") + sparse + END)
    assert members == [("a.jpg", b"1", 0)]
    assert isinstance(error, TarHeaderError)
    assert "sparse" in str(error)
    assert "a.bin" in str(error)


@pytest.mark.parametrize("field", [b"77777777777", b"\x80\0\0\0" + (1 << 42).to_bytes(8, "big"), b"\x80" + b"\x7f" * 11])
def test_fault_24_a_declared_size_of_terabytes(entry, header, field):
    tracemalloc.start()
    try:
        for total in (None, 10_000):
            parser = TarParser("mem:shard.tar", total=total, max_member_bytes=4 * GIB)
            assert parser.feed(entry("a.txt", b"1") + header("b.txt", size_field=field)) == [("a.txt", b"1", 0)]
            assert isinstance(parser.error, TarHeaderError)
            assert parser.error.offset == 1024
            assert "b.txt" in str(parser.error)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("field", [b"\xff" * 12, b"-0000000001", b"0000000000z"])
def test_fault_24_impossible_sizes(parse, entry, header, field):
    members, error = parse(entry("a.txt", b"1") + header("b.txt", size_field=field) + END)
    assert members == [("a.txt", b"1", 0)]
    assert isinstance(error, TarHeaderError)
    assert error.offset == 1024


def test_fault_24_a_hole_of_terabytes(pax, entry):
    """The size with holes is checked before the memory is taken."""
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 42)}
    tracemalloc.start()
    try:
        parser = TarParser("mem:shard.tar", max_member_bytes=4 * GIB)
        assert parser.feed(entry("a.txt", b"1") + pax(records) + entry("b.txt", b"0\n".ljust(512, b"\0"))) == [("a.txt", b"1", 0)]
        assert isinstance(parser.error, TarHeaderError)
        assert parser.cut_member == "b.txt"
        assert "Prefetch.max_member_bytes" in str(parser.error)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_fault_24_a_decompression_bomb(header):
    bomb = gzip.compress(header("zeros.bin", 200 << 20) + bytes(64 << 20))
    stream, parser = Decompressor("mem:shard.tar"), TarParser("mem:shard.tar", max_member_bytes=100 << 20)
    tracemalloc.start()
    try:
        for piece in stream.feed(bomb):
            assert parser.feed(piece) == []
            if parser.error is not None:
                break
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(parser.error, TarHeaderError)


def test_fault_25_duplicate_fields(parse, entry):
    members, _ = parse(entry("a.jpg", b"1") + entry("a.JPG", b"2") + entry("a.cls", b"3") + END)
    grouper = Grouper("mem:shard.tar", 0)
    assert grouper.feed(members) == []
    ((position, fault),) = grouper.faults
    assert position == 0
    assert isinstance(fault, DuplicateFieldError)
    assert (fault.url, fault.key, fault.offset) == ("mem:shard.tar", "a", 1024)
    assert "a.JPG" in str(fault)
    (sample,) = grouper.finish()
    assert (sample["jpg"], sample["cls"]) == (b"1", b"3")


def test_fault_25_keys_that_are_not_adjacent_dots_and_capitals(parse, entry):
    names = ["a.jpg", "b.jpg", "a.cls", "v1.0/c.SEG.Png", "v1.0/c.d.e", "v1.0/.f.g", "nodot"]
    members, _ = parse(b"".join(entry(name) for name in names) + END)
    samples, grouper = grouped(members)
    assert grouper.repeated == 1
    assert [(sample["__key__"], [name for name in sample if name[0] != "_"]) for sample in samples] == [
        ("a", ["jpg"]),
        ("b", ["jpg"]),
        ("a", ["cls"]),
        ("v1.0/c", ["seg.png", "d.e"]),
    ]


ZST = pytest.param("zst", marks=pytest.mark.needs("zstandard"))
LZ4 = pytest.param("lz4", marks=pytest.mark.needs("lz4"))


@pytest.mark.parametrize("compress", ["gz", "xz", "bz2", ZST, LZ4])
def test_fault_28_compressed_and_concatenated_archives(compress):
    plain = [make_shard(make_samples(5, size=900, prefix=prefix)) for prefix in "ab"]
    packed = b"".join(make_shard(make_samples(5, size=900, prefix=prefix), compress=compress) for prefix in "ab")
    for step in (1, 700, len(packed)):
        stream, parser = Decompressor("mem:shard.tar"), TarParser("mem:shard.tar", max_member_bytes=GIB)
        members = []
        for start in range(0, len(packed), step):
            for piece in stream.feed(packed[start : start + step]):
                members += parser.feed(piece)
        for piece in stream.finish():
            members += parser.feed(piece)
        assert parser.finish() is None
        assert [member[:2] for member in members] == [member[:2] for data in plain for member in files(data)]


def files(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]
