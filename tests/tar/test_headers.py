import tarfile

import pytest

from asyncwds.tar import headers


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"00000000620\0", 0o620),
        (b"000000000620", 0o620),
        (b"    620 \0\0\0\0", 0o620),
        (b"777777777777", 8**12 - 1),  # no terminator at all: up to 64 GiB
        (b"\0" * 12, 0),
        (b"        \0\0\0\0", 0),
        (b"\x80" + (1 << 40).to_bytes(11, "big"), 1 << 40),
        (b"17\0garbage...", 0o17),
    ],
)
def test_numbers_as_tarfile_reads_them(field, value):
    assert headers.number(field) == tarfile.nti(field) == value


@pytest.mark.parametrize(
    "field", [b"-0000000001\0", b"\xff" * 12, b"\xff" + bytes(11), b"0000000008x\0", b"\x81" + bytes(11), b"\xc0" * 12]
)
def test_impossible_numbers(field):
    with pytest.raises(ValueError):
        headers.number(field)


@pytest.mark.parametrize("data", [b"", b"\0" * 512, b"\xff" * 512, bytes(range(256)) * 2, b"\xff" * 256])
def test_byte_sum_is_the_sum(data):
    assert headers.byte_sum(data) == sum(data)


def test_signed_checksums_are_accepted(header):
    block = header("é.txt".encode() * 15)
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + 256
    assert headers.checksum_matches(block)
    assert headers.checksum_matches(block[:148] + b"%06o\0 " % signed + block[156:])
    assert not headers.checksum_matches(block[:148] + b"%06o\0 " % (signed + 1) + block[156:])
    assert not headers.checksum_matches(block[:148] + b"0000z8\0 " + block[156:])


def test_the_prefix_counts_in_posix_headers_only(header):
    assert headers.full_name(header("b.txt", prefix=b"some/folder")) == "some/folder/b.txt"
    assert headers.full_name(header("b.txt", prefix=b"12345670123", magic=b"ustar  \0")) == "b.txt"
    assert headers.full_name(header("b.txt", prefix=b"rubbish", magic=bytes(8))) == "b.txt"
    assert headers.full_name(header("n" * 100, prefix=b"p" * 155)) == "p" * 155 + "/" + "n" * 100


def test_pax_records_that_matter():
    body = b"14 path=a=b/c\n" + b"20 mtime=1700000000\n" + b"12 size=100\n" + b"22 GNU.sparse.major=1\n" + bytes(7)
    assert headers.pax_records(body) == {b"path": b"a=b/c", b"size": b"100", b"GNU.sparse.major": b"1"}
    assert headers.pax_records(b"16 path=a\nb\0c d\n") == {b"path": b"a\nb\0c d"}
    assert headers.pax_records(b"") == {}


@pytest.mark.parametrize(
    "body",
    [
        b"path=a\n",  # no length
        b"10 path=a\n10 path=b\n"[:-1],
        b"11 path=a\n",
        b"8 path=a\n",
        b"99 path=a\n",
        b"-9 path=a\n",
        b"1_0 path=a\n",
        b"0 path=a\n",
        b"3 \n",
        b"8 patha\n",
        b"9" * 5000 + b" path=a\n",
        b"\xff" * 100,
    ],
)
def test_unsound_pax_records(body):
    with pytest.raises(ValueError):
        headers.pax_records(body)
    assert not headers.means_nothing(body)


def test_caches_stay_bounded():
    sizes, sums = headers.SizeCache(1 << 30), headers.SumCache(bytes(356))
    for n in range(6000):
        assert sizes[b"%011o\0" % n] == n
        assert sums[b"%06o\0 " % n] == n - 255
    assert len(sizes) == len(sums) == 4096
    assert sizes[b"%011o\0" % (1 << 31)] == sizes[b"-0000000001\0"] == headers.NEVER
    assert sums[b"zzzzzz\0 "] == -1
