import io
import tarfile

import pytest

from asyncwds.errors import SpecError, TarHeaderError, TrailingBytesError, TruncatedTarError
from asyncwds.tar import Refused, TarParser

END = bytes(1024)


def names(outcome):
    members, error = outcome
    assert error is None
    return [name for name, _, _ in members]


def test_offsets_are_those_of_the_first_header(parse, entry, pax):
    long_name, extended = entry("././@LongLink", b"long.txt\0", b"L"), pax({"path": "pax.txt"})
    data = (
        entry("a.txt", b"1")
        + long_name
        + entry("cut", b"2")
        + entry("g", b"", b"g")
        + extended
        + entry("cut", b"3")
        + entry("b.txt")
        + END
    )
    members, error = parse(data)
    assert error is None
    assert [name for name, _, _ in members] == ["a.txt", "long.txt", "pax.txt", "b.txt"]
    assert [offset for _, _, offset in members] == [0, 1024, 2048 + 1024 + 512, 2048 + 1024 + 512 + 2048]
    for name, payload, offset in members:
        assert parse(data[offset:])[0][0] == (name, payload, 0)


def test_select_and_rename_see_each_regular_member_once(entry):
    seen = []

    def rename(name):
        seen.append(name)
        return name.upper()

    parser = TarParser("x", max_member_bytes=100, rename=rename, select=lambda name: name != "B.TXT")
    data = entry("a.txt", b"1") + entry("b.txt", b"2") + entry("d/", b"", b"5") + entry("l", b"", b"2") + entry("c.txt", b"3") + END
    members = [member for start in range(0, len(data), 100) for member in parser.feed(data[start : start + 100])]
    assert [member[:2] for member in members] == [("A.TXT", b"1"), ("C.TXT", b"3")]
    assert seen == ["a.txt", "b.txt", "c.txt"]
    assert parser.finish() is None


def test_select_alone_and_rename_alone(parse, archive):
    data = archive({"a.jpg": b"1", "b.cls": b"2", "c.jpg": b"3"})
    assert names(parse(data, select=lambda name: name.endswith(".jpg"))) == ["a.jpg", "c.jpg"]
    assert names(parse(data, rename=lambda name: "x/" + name)) == ["x/a.jpg", "x/b.cls", "x/c.jpg"]


def test_unselected_members_take_no_memory(header):
    parser = TarParser("x", max_member_bytes=10, select=lambda name: False)
    assert parser.feed(header("big.bin", (1 << 33) - 1)) == []
    chunk = bytes(1 << 20)
    for _ in range(3):
        assert parser.feed(chunk) == []
    assert parser.error is None
    assert parser.held == 0


@pytest.mark.parametrize("function", ["select", "rename"])
def test_errors_of_select_and_rename_stand_in_place_of_the_name(parse, archive, function):
    def fails_at_b(name):
        return 1 / 0 if name == "b" else name

    members, error = parse(archive({"a": b"1", "b": b"2", "c": b"3"}), **{function: fails_at_b})
    assert error is None
    assert [type(name) for name, *_ in members] == [str, Refused, str]
    assert isinstance(members[1][0].error, ZeroDivisionError)
    assert "member 'b'" in members[1][0].error.__notes__[0]


def test_an_error_of_our_own_kind_comes_out_as_it_is(archive):
    def not_usable(name):
        raise SpecError("not usable")

    with pytest.raises(SpecError, match="not usable"):
        TarParser("x", max_member_bytes=10, select=not_usable).feed(archive({"a": b""}))


@pytest.mark.parametrize("total", [None, 1700])
def test_the_member_that_an_archive_is_cut_in(archive, total):
    data = archive({"a.x": b"1" * 500, "b.x": b"2" * 500})
    for end, name in ((600, "a.x"), (1100, None), (1700, "b.x")):
        parser = TarParser("x", max_member_bytes=1000, total=total and end)
        parser.feed(data[:end])
        parser.finish()
        assert parser.cut_member == name


@pytest.mark.parametrize(
    "refused", [{"size": 2000}, {"size_field": b"junk"}, {"size_field": b"\xff" * 12}, {"size_field": b"\x80" + b"\x7f" * 11}]
)
def test_a_member_that_cannot_be_taken_is_named(entry, header, refused):
    for step in (1, 600, 5000):
        parser = TarParser("x", max_member_bytes=1000)
        data = entry("a.x", b"1") + header("b.x", **refused) + bytes(3000)
        members = [member for start in range(0, len(data), step) for member in parser.feed(data[start : start + step])]
        assert [name for name, _, _ in members] == ["a.x"]
        assert parser.cut_member == "b.x"


def test_finished_and_offset(archive):
    data = archive({"a.txt": b"1"})
    end = 1024 + 1024
    parser = TarParser("x", max_member_bytes=10)
    parser.feed(data[: end - 1])
    assert not parser.finished
    parser.feed(data[end - 1 :])
    assert parser.finished
    assert parser.offset == len(data)
    parser.feed(data[:512])
    assert not parser.finished
    assert isinstance(parser.finish(), TruncatedTarError)


def test_one_zero_block_ends_an_archive_only_at_the_end_of_input(parse, entry):
    member = entry("a.txt", b"1")
    assert parse(member + bytes(512)) == ([("a.txt", b"1", 0)], None)
    assert parse(member + bytes(512 + 100)) == ([("a.txt", b"1", 0)], None)
    members, error = parse(member + bytes(512) + member + END)
    assert members == [("a.txt", b"1", 0)]
    assert isinstance(error, TarHeaderError)
    assert error.offset == 1536


@pytest.mark.parametrize("zeros", [1024, 1025, 1536, 10240])
def test_zeros_may_follow_the_end(parse, entry, zeros):
    assert names(parse(entry("a.txt", b"1") + bytes(zeros))) == ["a.txt"]


@pytest.mark.parametrize("zeros", [1024, 1536, 10240])
@pytest.mark.parametrize("trailer", [b"\n", b"garbage!" * 64, b"text" * 1000, bytes(100) + b"text", b"a" * 511, b"ustar" * 60])
def test_what_stands_behind_the_end_mark_is_an_error_of_its_own(parse, entry, zeros, trailer):
    """Less than a block of it is not "truncated"; tarfile reads the same archives, and says nothing."""
    data = entry("a.txt", b"1") + bytes(zeros) + trailer
    members, error = parse(data)
    assert members == [("a.txt", b"1", 0)]
    assert type(error) is TrailingBytesError
    assert "after the end-of-archive mark" in str(error)
    assert error.offset == 1024 + zeros
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["a.txt"]


def test_a_damaged_or_cut_archive_behind_the_end_mark_is_no_trailer(parse, entry):
    """Its samples are lost."""
    second = entry("b.txt", b"2" * 2000) + END
    for damaged, kind in (
        (b"\1" + second[1:], TarHeaderError),
        (second[:400], TruncatedTarError),
        (second[:900], TruncatedTarError),
    ):
        members, error = parse(entry("a.txt", b"1") + END + damaged)
        assert [name for name, _, _ in members] == ["a.txt"]
        assert type(error) is kind


@pytest.mark.parametrize("trailer", [b"\n", b"garbage!" * 64])
def test_behind_a_single_zero_block_nothing_else_may_come(parse, entry, trailer):
    """The block may be a header that was wiped out."""
    members, error = parse(entry("a.txt", b"1") + bytes(512) + trailer)
    assert members == [("a.txt", b"1", 0)]
    assert type(error) is TarHeaderError
    assert "single zero block" in str(error)


def test_members_that_all_differ_from_the_header_before(parse, entry):
    """The quick way compares a header with the one before: here that never helps."""
    kinds = [{}, {"magic": bytes(8)}, {"magic": b"ustar  \0", "prefix": b"time"}, {"prefix": b"folder"}, {}, {}]
    data = b"".join(entry(f"{n}.txt", b"%d" % n, **fields) for n, fields in enumerate(kinds * 3))
    members, error = parse(data + END)
    assert error is None
    assert [payload for _, payload, _ in members] == [b"%d" % n for n in range(18)]
    assert [name for name, _, _ in members[:4]] == ["0.txt", "1.txt", "2.txt", "folder/3.txt"]


def test_names_of_exactly_100_bytes(parse, entry):
    assert names(parse(entry("n" * 100) * 3 + END)) == ["n" * 100] * 3


def test_pax_values_win_and_empty_ones_count_as_absent(parse, entry, pax):
    assert parse(pax({"path": "pax.txt", "size": "3"}) + entry("a.txt", b"abc", size_field=b"7") + END)[0] == [
        ("pax.txt", b"abc", 0)
    ]
    assert names(parse(pax({"path": ""}) + entry("a.txt") + END)) == ["a.txt"]


def test_an_extended_header_without_member(parse, entry):
    for kind, body in ((b"x", b"20 mtime=1700000000\n"), (b"L", b"name\0"), (b"K", b"name\0")):
        extended = entry("x", body, kind)
        for before in (b"", extended + entry("a.txt")):
            _, error = parse(before + extended + END)
            assert isinstance(error, TarHeaderError)
            assert "no member" in str(error)


def test_unsound_extended_headers(parse, entry, header):
    for kind in (b"x", b"g"):
        _, error = parse(entry("a") + entry("x", b"99 path=a\n", kind) + entry("b") + END)
        assert isinstance(error, TarHeaderError)
        assert error.offset == 512
    for kind in (b"x", b"g", b"L"):
        _, error = parse(header("x", (16 << 20) + 1, kind))
        assert isinstance(error, TarHeaderError)
        assert "extended header" in str(error)


def test_extended_headers_over_1_mib_are_read(entry, pax):
    data = pax({"comment": "c" * (3 << 20), "path": "long.txt"}) + entry("a.txt", b"1") + END
    for step in (len(data), 100_000):
        parser = TarParser("x", max_member_bytes=10)
        found = [member for start in range(0, len(data), step) for member in parser.feed(data[start : start + step])]
        assert (found, parser.finish()) == ([("long.txt", b"1", 0)], None)


def test_extended_headers_too_large_are_refused_in_any_chunking(entry, pax):
    data = pax({"comment": ""}) + entry("a.txt") + pax({"comment": "c" * 5000}) + entry("b.txt") + END
    for step in (len(data), 100):
        parser = TarParser("x", max_member_bytes=1 << 30, max_header_bytes=4000)
        found = [member for start in range(0, len(data), step) for member in parser.feed(data[start : start + step])]
        assert [name for name, _, _ in found] == ["a.txt"]
        assert isinstance(parser.error, TarHeaderError)
        assert "4000 are allowed (Prefetch.max_header_bytes)" in str(parser.error)


def test_errors_are_sticky_and_keep_nothing_alive(archive, entry):
    parser = TarParser("x", max_member_bytes=10)
    assert parser.feed(entry("a.txt", b"1") + b"\1" * 512) == [("a.txt", b"1", 0)]
    error = parser.error
    assert isinstance(error, tarfile.ReadError)
    assert error.__traceback__ is None  # it would hold the chunk
    assert parser.feed(archive({"b.txt": b""})) == []
    assert parser.finish() is error


def test_a_large_member_is_joined_once(archive):
    data = archive({"big.bin": b"abcd" * (1 << 20)})
    parser = TarParser("x", max_member_bytes=1 << 30)
    found = [member for start in range(0, len(data), 65536) for member in parser.feed(data[start : start + 65536])]
    assert found == [("big.bin", b"abcd" * (1 << 20), 0)]
    assert parser.finish() is None


def test_messages_name_url_offset_and_member(parse, entry):
    _, error = parse(entry("a.txt", b"1") + entry("b/c.jpg", b"x" * 1000)[:800])
    assert error.url == "mem:shard.tar"
    assert error.offset == 1024
    assert "b/c.jpg" in str(error)
    assert "1824 bytes" in str(error)
