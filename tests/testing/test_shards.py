from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from asyncwds.errors import SpecError
from asyncwds.testing import digest, make_pieces, make_samples, make_shard, write_shards

LONG = "x" * 150


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_samples_are_the_same_for_the_same_arguments():
    first = list(make_samples(3, size=50, fields=("jpg", "cls", "txt", "a.json"), seed=1, prefix="p"))
    assert first == list(make_samples(3, size=50, fields=("jpg", "cls", "txt", "a.json"), seed=1, prefix="p"))
    assert [sample["__key__"] for sample in first] == ["p000000", "p000001", "p000002"]
    assert len(first[0]["jpg"]) == 50
    assert (first[2]["cls"], first[2]["txt"], first[2]["a.json"]) == (b"2", b"p000002", b'{"index": 2, "key": "p000002"}')
    assert first[0]["jpg"] != next(make_samples(1, size=50, fields=("jpg",), seed=2))["jpg"]


def test_a_shard_holds_its_samples_and_is_always_the_same():
    samples = [{"__key__": "a/b", "__url__": "u", "txt": "grün", "seg.png": b"\0"}]
    assert members(make_shard(samples)) == {"a/b.txt": "grün".encode(), "a/b.seg.png": b"\0"}
    assert hashlib.sha256(make_shard(make_samples(2))).hexdigest()[:16] == "b8027bfda1537aa3"


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_formats(kind):
    samples = [{"__key__": LONG, "txt": "1"}]
    data = make_shard(samples, format=kind)
    assert members(data) == {f"{LONG}.txt": b"1"}
    assert data[156:157] == {"gnu": b"L", "pax": b"x"}[kind]


def test_a_name_that_its_format_cannot_hold():
    with pytest.raises(ValueError, match="name is too long"):
        make_shard([{"__key__": LONG, "txt": "1"}])


@pytest.mark.parametrize(("compress", "unpack"), [("gz", gzip.decompress), ("bz2", bz2.decompress), ("xz", lzma.decompress)])
def test_compression(compress, unpack):
    plain = make_shard(make_samples(3))
    packed = make_shard(make_samples(3), compress=compress)
    assert unpack(packed) == plain
    assert packed == make_shard(make_samples(3), compress=compress)


@pytest.mark.needs("zstandard")
def test_zstandard():
    import zstandard

    plain = make_shard(make_samples(3))
    assert zstandard.decompress(make_shard(make_samples(3), compress="zst")) == plain


def test_values_that_are_no_bytes():
    with pytest.raises(SpecError, match="'cls' is int") as refused:
        make_shard([{"__key__": "k", "cls": 1}])
    assert refused.value.key == "k"


def test_pieces_share_their_payload():
    pieces = make_pieces(3, size=1000, prefix="p", field="jpg")
    assert pieces[1] is pieces[4] is pieces[7]
    assert members(b"".join(pieces)) == {f"p00000{index}.jpg": pieces[1] for index in range(3)}


def test_shards_on_disk(tmp_path):
    paths = write_shards(tmp_path / "new", shards=2, samples=3, size=10, compress="gz")
    assert paths == [str(tmp_path / "new" / f"shard-00000{index}.tar.gz") for index in range(2)]
    names = [list(members(Path(path).read_bytes())) for path in paths]
    assert len(names[0]) == 9
    assert not set(names[0]) & set(names[1])
    assert paths == write_shards(tmp_path / "new", shards=2, samples=3, size=10, compress="gz")


def test_digests_tell_samples_apart():
    sample = {"__key__": "k", "__url__": "here", "a": b"1", "b": "2"}
    assert digest(sample) == digest({"__key__": "k", "__url__": "there", "b": b"2", "a": b"1"})
    others = [{"__key__": "l", "a": b"1", "b": b"2"}, {"__key__": "k", "a": b"12", "b": b""}, {"__key__": "k", "a": b"1"}]
    assert digest(sample) not in {digest(other) for other in others}
    with pytest.raises(SpecError):
        digest({"__key__": "k", "cls": 1})
