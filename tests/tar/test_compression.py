import bz2
import gzip
import lzma
import sys
from collections.abc import Callable

import pytest

from asyncwds.errors import SpecError, TarHeaderError, TruncatedTarError
from asyncwds.tar.compression import Decompressor, detect
from asyncwds.testing import make_samples, make_shard

MIB = 1 << 20
SHARD = make_shard(make_samples(40, size=700))


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compress(data)  # as the zstd command does


def every_kind() -> pytest.MarkDecorator:
    marks = {"zstd": [pytest.mark.needs("zstandard")]}
    return pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks.get(kind, [])) for kind in COMPRESS])


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstd,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


def read(data: bytes, step: int | None = None) -> tuple[list[bytes], Decompressor]:
    stream = Decompressor("mem:shard.tar")
    step = step or max(len(data), 1)
    pieces = [piece for start in range(0, len(data), step) for piece in stream.feed(data[start : start + step])]
    return [*pieces, *stream.finish()], stream


@every_kind()
@pytest.mark.parametrize("step", [1, 3, 1000, None])
def test_streams_in_any_chunks(kind, step):
    pieces, stream = read(COMPRESS[kind](SHARD), step)
    assert b"".join(pieces) == SHARD
    assert stream.compressed


@pytest.mark.parametrize("data", [SHARD[:5000], b"", b"\x1f", b"BZh", b"BZh9.jpg" + bytes(504), b"<html>", bytes(5)])
@pytest.mark.parametrize("step", [1, None])
def test_what_is_not_compressed_goes_through(data, step):
    pieces, stream = read(data, step)
    assert b"".join(pieces) == data
    assert not stream.compressed


def test_chunks_that_go_through_are_not_copied():
    stream = Decompressor("x")
    assert list(stream.feed(SHARD[:100])) == [SHARD[:100]]
    chunk = SHARD[100:5000]
    (piece,) = stream.feed(chunk)
    assert piece is chunk


@every_kind()
def test_kinds_are_told_by_ten_bytes(kind):
    assert detect(COMPRESS[kind](SHARD)[:10]) == detect(COMPRESS[kind](b"")[:10]) == kind


@every_kind()
@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("padding", [0, 4, 512])
def test_several_streams_are_one_content(kind, step, padding):
    compress = COMPRESS[kind]
    data = bytes(padding).join([compress(SHARD[:9000]), compress(b""), compress(SHARD[9000:]), b""])
    assert b"".join(read(data, step)[0]) == SHARD


@pytest.mark.needs("zstandard")
def test_zstd_frames_to_be_skipped():
    data = b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd(SHARD) + b"\x5f\x2a\x4d\x18\0\0\0\0"
    for step in (1, None):
        assert b"".join(read(data, step)[0]) == SHARD


@every_kind()
def test_a_bomb_never_comes_at_once(kind):
    size = 12 * MIB + 5
    stream = Decompressor("x")
    lengths = [len(piece) for piece in stream.feed(COMPRESS[kind](bytes(size)))]
    assert list(stream.finish()) == []
    assert sum(lengths) == size
    assert max(lengths) <= MIB


@every_kind()
def test_a_piece_is_made_when_it_is_asked_for(kind):
    pieces = Decompressor("x").feed(COMPRESS[kind](bytes(300 * MIB if kind == "zstd" else 10 * MIB)))
    assert len(next(pieces)) <= MIB


@every_kind()
@pytest.mark.parametrize("cut", [11, 200, -9, -1])
def test_streams_that_are_cut(kind, cut):
    data = COMPRESS[kind](SHARD)[:cut]
    for step in (1, 500, None):
        with pytest.raises(TruncatedTarError, match=f"{kind} stream ends too early") as caught:
            read(data, step)
        assert caught.value.url == "mem:shard.tar"
        assert 0 <= caught.value.offset <= len(SHARD)


@every_kind()
@pytest.mark.parametrize("step", [1, 500, None])
def test_corrupt_streams(kind, step):
    """Damage in the middle, in the magic of a second stream, and garbage behind the end."""
    sound = bytearray(COMPRESS[kind](SHARD))
    damaged = sound[:]
    damaged[len(damaged) // 2 : len(damaged) // 2 + 50] = b"\xa5" * 50
    for data in (damaged, sound + b"garbage garbage", sound + b"\xff" + sound[1:]):
        with pytest.raises(TarHeaderError, match=f"{kind} stream is corrupt"):
            read(bytes(data), step)


def test_without_a_library_zstd_names_the_extra(monkeypatch):
    for name in ("zstandard", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    stream = Decompressor("x")
    with pytest.raises(SpecError, match=r"asyncwds\[zstd\]"):
        list(stream.feed(b"\x28\xb5\x2f\xfd" + bytes(20)))
