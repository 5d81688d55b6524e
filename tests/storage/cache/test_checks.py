from __future__ import annotations

import zlib

import pytest

from asyncwds.runtime import MiB
from asyncwds.storage import is_shard_file
from asyncwds.storage.cache.checks import check_tar_format, get_filetype, magic_filetype, sum_at, sum_of, sums_of
from asyncwds.testing import make_samples, make_shard

SHARD = make_shard(make_samples(3))
COMPRESSED = {kind: make_shard(make_samples(3), compress=kind) for kind in ("gz", "bz2", "xz")}


@pytest.fixture
def path(tmp_path):
    def write(data: bytes) -> str:
        (tmp_path / "a.tar").write_bytes(data)
        return str(tmp_path / "a.tar")

    return write


@pytest.mark.parametrize("data", [SHARD, *COMPRESSED.values()], ids=["tar", *COMPRESSED])
def test_shards_are_recognised(path, data):
    assert is_shard_file(path(data))
    assert check_tar_format(path(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>not found</html>",
        SHARD[:700],
        SHARD.rstrip(b"\0"),
        SHARD[:-10240],
        bytes(10240),
        b"x" + SHARD[1:],
    ],
    ids=["empty", "page", "cut in a member", "cut behind the last", "without end mark", "zeros", "wrong checksum"],
)
def test_what_a_reader_would_refuse_is_no_shard(path, data):
    assert not is_shard_file(path(data))


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("data", [SHARD, COMPRESSED["gz"], b"text", b"", SHARD[:300]])
def test_formats_are_webdatasets(path, data):
    from webdataset import cache

    assert check_tar_format(path(data)) == cache.check_tar_format(path(data))
    assert magic_filetype(path(data)) == cache.magic_filetype(path(data))
    assert get_filetype(path(data)) == cache.get_filetype(path(data))


def test_an_archive_without_magic_is_recognised(path):
    head = bytearray(SHARD[:512])
    head[257:265] = bytes(8)
    head[148:156] = b"%06o\0 " % sum(head[:148] + b" " * 8 + head[156:])
    assert magic_filetype(path(bytes(head) + SHARD[512:])).endswith("POSIX tar archive")


def test_missing_files_are_webdatasets_errors(tmp_path):
    for function in (get_filetype, check_tar_format):
        with pytest.raises(AssertionError):
            function(str(tmp_path / "missing"))


def test_without_the_command_there_is_no_file_type(path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssertionError, match="not available"):
        get_filetype(path(SHARD))


def test_each_block_has_its_sum(path):
    data = bytes(range(256)) * 4096 * 2 + b"end"
    sums = sums_of(path(data))
    for start in range(0, len(data), MiB):
        block = data[start : start + MiB]
        assert sum_at(sums, start) == sum_of(block) == f"{zlib.crc32(block):08x}"
    assert len(sums) == 3 * 8
