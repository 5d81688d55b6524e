import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable

import pytest

from asyncwds.compression import Decompressor
from asyncwds.compression.decompress import detect
from asyncwds.errors import SpecError, TarHeaderError, TrailingBytesError, TruncatedTarError
from asyncwds.testing import make_samples, make_shard

MIB = 1 << 20
SHARD = make_shard(make_samples(40, size=700))


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compress(data)  # as the zstd command does


def lz4(data: bytes) -> bytes:
    from lz4 import frame

    return frame.compress(data, content_checksum=True)  # as the lz4 command does


def every_kind() -> pytest.MarkDecorator:
    marks = {"zstd": [pytest.mark.needs("zstandard")], "lz4": [pytest.mark.needs("lz4")]}
    return pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks.get(kind, [])) for kind in COMPRESS])


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstd,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "lz4": lz4,
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
    """The message is not that of the library, which is the cause."""
    damaged = bytearray(COMPRESS[kind](SHARD))
    damaged[len(damaged) // 2 : len(damaged) // 2 + 50] = b"\xa5" * 50
    for data in (damaged, COMPRESS[kind](b"first") + damaged):
        with pytest.raises(TarHeaderError) as caught:
            read(bytes(data), step)
        assert caught.value.message == f"the {kind} stream is corrupt"
        assert caught.value.__cause__ is not None


@every_kind()
@pytest.mark.parametrize("step", [1, 500, None])
@pytest.mark.parametrize("trailer", [b"\n", b"garbage garbage", bytes(20) + b"\xff" * 20, b"\x1f", b"text\n" * 40_000])
def test_what_stands_behind_a_stream_is_left_unread(kind, step, trailer):
    sound = COMPRESS[kind](SHARD)
    step = step and max(step, len(trailer) // 500)
    for data, whole in ((sound + trailer, SHARD), (sound * 2 + trailer, SHARD * 2)):
        pieces, stream = read(data, step)
        assert b"".join(pieces) == whole
        assert (type(stream.trailing), stream.trailing.offset) == (TrailingBytesError, len(whole))
        assert f"{kind} stream" in str(stream.trailing)


def test_streams_of_several_kinds_are_one_content():
    kinds = ("gzip", "xz", "bz2")
    data = b"".join(COMPRESS[kind](SHARD) for kind in kinds)
    for step in (1, 700, None):
        pieces, stream = read(data, step)
        assert b"".join(pieces) == SHARD * len(kinds)
        assert stream.trailing is None


SKIPPED = b"\x53\x2a\x4d\x18\x05\0\0\0abcde"


@pytest.mark.parametrize("step", [1, None])
@pytest.mark.needs("lz4")
def test_lz4_behind_a_frame_to_be_skipped_is_no_zstd(step):
    for frames in (SKIPPED, SKIPPED * 2, b"\x50\x2a\x4d\x18" + (200_000).to_bytes(4, "little") + bytes(200_000)):
        pieces, stream = read(frames + lz4(SHARD), step and step * 100)
        assert (b"".join(pieces), stream.kind) == (SHARD, "lz4")
    with pytest.raises(TarHeaderError, match="compressed with lz4 .legacy frames., which is not read"):
        read(SKIPPED + b"\x02\x21\x4c\x18\x10\0\0\0" + bytes(40), step)
    with pytest.raises(TruncatedTarError):
        read(SKIPPED[:-1], step)


def test_xz_that_needs_too_much_memory_says_so():
    packer = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}])
    data = packer.compress(SHARD) + packer.flush()
    huge = bytearray(data)
    place = huge.index(b"\x21\x01", 12)  # LZMA2's property: the size of the dictionary, 40 is 4 GiB
    huge[place + 2] = 40
    end = 12 + (huge[12] + 1) * 4
    huge[end - 4 : end] = zlib.crc32(bytes(huge[12 : end - 4])).to_bytes(4, "little")
    with pytest.raises(TarHeaderError, match="xz stream needs more memory than is allowed"):
        read(bytes(huge))


def test_without_a_library_lz4_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(SpecError, match=r"asyncwds\[lz4\]"):
        list(Decompressor("x").feed(b"\x04\x22\x4d\x18\x64\x40\xa7" + bytes(40)))


def test_without_a_library_zstd_names_the_extra(monkeypatch):
    for name in ("zstandard", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    stream = Decompressor("x")
    with pytest.raises(SpecError, match=r"asyncwds\[zstd\]"):
        list(stream.feed(b"\x28\xb5\x2f\xfd" + bytes(20)))
