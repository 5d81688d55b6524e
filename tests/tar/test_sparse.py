"""Sparse members: made by GNU tar where that is there, and of bytes laid out here; the standard library reads the same."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tracemalloc

import pytest

import asyncwds as wds
from asyncwds.errors import TarHeaderError, TruncatedTarError
from asyncwds.tar import TarParser

END = bytes(1024)
KINDS = {
    "gnu": ["--format=gnu"],
    "0.0": ["--format=posix", "--sparse-version=0.0"],
    "0.1": ["--format=posix", "--sparse-version=0.1"],
    "1.0": ["--format=posix", "--sparse-version=1.0"],
}
every_kind = pytest.mark.parametrize("kind", KINDS)

Pieces = tuple[int, list[tuple[int, bytes]]]  # size of the file, offsets and contents
FILES: dict[str, Pieces] = {
    "a.bin": (20_000, [(8192, b"in the middle".ljust(4096))]),
    "b.bin": (8192, [(0, b"at the beginning".ljust(4096))]),
    "c.bin": (70_000, [(69_632, b"e" * 368)]),
    "d.bin": (50_000, []),
    "e.bin": (30 * 8192, [(n * 8192, bytes([n + 1]) * 4096) for n in range(30)]),  # more than a header holds, and than a block
    "f.bin": (60 * 8192 + 5, [(n * 8192 + 4096, bytes([n + 1]) * 4096) for n in range(60)]),
}


def content(size: int, pieces: list[tuple[int, bytes]]) -> bytes:
    data = bytearray(size)
    for offset, piece in pieces:
        data[offset : offset + len(piece)] = piece
    return bytes(data)


CONTENTS = {name: content(*file) for name, file in FILES.items()}


def octal(value: int) -> bytes:
    return b"%011o\0" % value


def laid_out(kind: str, name: str, file: Pieces, header, entry, pax_of) -> bytes:
    size, pieces = file
    pairs = [(offset, len(piece)) for offset, piece in pieces] + [(size, 0)]
    data = b"".join(piece for _, piece in pieces)
    if kind == "gnu":
        fields = [octal(offset) + octal(length) for offset, length in pairs]
        block = bytearray(header(name, len(data), b"S", magic=b"ustar  \0"))
        block[386 : 386 + 96] = b"".join(fields[:4]).ljust(96, b"\0")
        block[482] = len(fields) > 4
        block[483:495] = octal(size)
        block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:]) + 256)
        more = [fields[start : start + 21] for start in range(4, len(fields), 21)]
        blocks = [b"".join(part).ljust(504, b"\0") + bytes([part is not more[-1]]) + bytes(7) for part in more]
        return bytes(block) + b"".join(blocks) + data + bytes(-len(data) % 512)
    records = [("GNU.sparse.name", name)] if kind != "0.0" else []
    if kind == "1.0":
        records += [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", str(size))]
        lines = b"".join(b"%d\n" % number for number in (len(pairs), *(value for pair in pairs for value in pair)))
        data = lines + bytes(-len(lines) % 512) + data
    else:
        records += [("GNU.sparse.size", str(size)), ("GNU.sparse.numblocks", str(len(pairs)))]
    if kind == "0.0":
        for offset, length in pairs:
            records += [("GNU.sparse.offset", str(offset)), ("GNU.sparse.numbytes", str(length))]
    if kind == "0.1":
        records.append(("GNU.sparse.map", ",".join(str(value) for pair in pairs for value in pair)))
    placeholder = name if kind == "0.0" else f"./GNUSparseFile.12345/{name}"
    return pax_of(records) + entry(placeholder, data)


@pytest.fixture
def make(header, entry, pax):
    """`make(kind, name, file)`: a sparse member."""

    def pax_of(records):
        # `pax` makes one record of a keyword; version 0.0 has them again and again.
        body = b"".join(pax({keyword: value})[512:].rstrip(b"\0") for keyword, value in records)
        return entry("PaxHeader", body, b"x")

    return lambda kind, name, file: laid_out(kind, name, file, header, entry, pax_of)


def by_gnu_tar(kind: str, folder) -> bytes | None:
    """The files, written with holes and packed by GNU tar; None without it."""
    command = shutil.which("gtar") or shutil.which("tar")
    if command is None or b"GNU tar" not in subprocess.run([command, "--version"], capture_output=True, check=True).stdout:
        return None
    for name, (size, pieces) in FILES.items():
        with (folder / name).open("wb") as file:
            file.truncate(size)
            for offset, piece in pieces:
                file.seek(offset)
                file.write(piece)
    done = subprocess.run([command, "-c", "--sparse", *KINDS[kind], *FILES], capture_output=True, check=True, cwd=folder)
    return done.stdout


def by_tarfile(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


@every_kind
def test_fault_23_sparse_members_in_all_their_forms(parse, make, entry, kind, tmp_path):
    member = entry("z.txt", b"not sparse")
    made = b"".join(make(kind, name, file) for name, file in FILES.items()) + member + END
    expected = CONTENTS | {"z.txt": b"not sparse"}
    assert by_tarfile(made) == expected
    members, error = parse(made)
    assert error is None
    assert {name: data for name, data, _ in members} == expected
    packed = by_gnu_tar(kind, tmp_path)
    if packed is not None:
        members, error = parse(packed)
        assert error is None
        assert {name: data for name, data, _ in members} == CONTENTS == by_tarfile(packed)


@every_kind
def test_in_data_sets(make, entry, kind, tmp_path):
    archive = entry("a.txt", b"text") + make(kind, "a.bin", FILES["a.bin"]) + make(kind, "e.bin", FILES["e.bin"]) + END
    (tmp_path / "a.tar").write_bytes(archive)
    dataset = wds.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False)
    assert [(sample["__key__"], sample["bin"]) for sample in dataset] == [("a", CONTENTS["a.bin"]), ("e", CONTENTS["e.bin"])]
    offsets = [sample.origin.offset for sample in dataset]
    assert offsets == [0, archive.index(make(kind, "e.bin", FILES["e.bin"]))]


@every_kind
def test_renamed_and_not_selected(parse, make, entry, kind):
    archive = make(kind, "f.bin", FILES["f.bin"]) + make(kind, "e.bin", FILES["e.bin"]) + entry("z.txt", b"1") + END
    members, error = parse(archive, select=lambda name: name != "f.bin", rename=lambda name: name.replace("e", "E"))
    assert error is None
    assert [(name, data) for name, data, _ in members] == [("E.bin", CONTENTS["e.bin"]), ("z.txt", b"1")]


@every_kind
def test_the_bound_is_for_the_size_with_holes(parse, make, entry, kind):
    archive = entry("a.txt", b"1") + make(kind, "f.bin", FILES["f.bin"]) + END
    size = FILES["f.bin"][0]
    assert parse(archive, max_member_bytes=size)[1] is None
    members, error = parse(archive, max_member_bytes=size - 1)
    assert [name for name, _, _ in members] == ["a.txt"]
    assert f"member 'f.bin' has {size} bytes" in str(error)
    parser = TarParser("x", max_member_bytes=size - 1)
    parser.feed(archive)
    assert parser.cut_member == "f.bin"


@every_kind
def test_holes_take_their_size_once(make, kind):
    size = 64 << 20
    archive = make(kind, "a.bin", (size, [(size // 2, b"data")])) + END
    tracemalloc.start()
    try:
        ((_, data, _),) = TarParser("x", max_member_bytes=size).feed(archive)
        assert tracemalloc.get_traced_memory()[1] < size + (4 << 20)
    finally:
        tracemalloc.stop()
    assert (len(data), data[size // 2 : size // 2 + 4], data.count(0)) == (size, b"data", size - 4)


@every_kind
def test_cut_anywhere(parse, make, entry, kind):
    sparse = make(kind, "e.bin", FILES["e.bin"])
    archive = entry("a.txt", b"1") + sparse
    for cut in {1024 + 512, 1024 + 700, 1024 + 1024, 1024 + 1300, len(archive) - 1000, len(archive) - 1}:
        parser = TarParser("x", max_member_bytes=1 << 20)
        assert parser.feed(archive[:cut]) == [("a.txt", b"1", 0)]
        assert isinstance(parser.finish(), TruncatedTarError)
    assert parser.cut_member == "e.bin"


@every_kind
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([(8192, b"b" * 512), (0, b"a" * 512)], id="backwards"),
        pytest.param([(0, b"a" * 1024), (512, b"b" * 512)], id="overlapping"),
        pytest.param([(19_900, b"a" * 512)], id="beyond the end"),
    ],
)
def test_maps_that_make_no_sense(parse, make, entry, kind, pieces):
    members, error = parse(entry("a.txt", b"1") + make(kind, "b.bin", (20_000, pieces)) + entry("c.txt") + END)
    assert [name for name, _, _ in members] == ["a.txt"]
    assert type(error) is TarHeaderError
    assert "b.bin" in str(error)
    assert "map of a sparse member" in str(error)


@pytest.mark.parametrize(
    ("records", "payload"),
    [
        ({"GNU.sparse.size": "100", "GNU.sparse.map": "0"}, b""),
        ({"GNU.sparse.size": "100", "GNU.sparse.map": "0,50"}, b"too short"),
        ({"GNU.sparse.size": "100", "GNU.sparse.map": "0,x"}, b""),
        ({"GNU.sparse.size": "many"}, b""),
        ({"GNU.sparse.map": "0,4"}, b"data"),
        ({"GNU.sparse.major": "2", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100"}, b""),
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100"}, b""),
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100"}, b"99999999999\n0\n".ljust(512)),
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100"}, b"1\n0\nfour\n".ljust(512)),
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100"}, b"9" * 512),
    ],
)
def test_records_that_make_no_sense(parse, entry, pax, records, payload):
    members, error = parse(entry("a.txt", b"1") + pax(records) + entry("b.bin", payload) + END)
    assert [name for name, _, _ in members] == ["a.txt"]
    assert type(error) is TarHeaderError
    assert "b'" not in str(error)


def test_headers_that_make_no_sense(parse, entry, make):
    sound = make("gnu", "e.bin", FILES["e.bin"])
    block = bytearray(sound[:512])
    block[483:487] = b"junk"
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:]) + 256)
    for data in (bytes(block) + sound[512:], sound[:512] + b"junk" + sound[516:]):
        members, error = parse(entry("a.txt", b"1") + data + END)
        assert [name for name, _, _ in members] == ["a.txt"]
        assert type(error) is TarHeaderError
        assert "makes no sense" in str(error)
