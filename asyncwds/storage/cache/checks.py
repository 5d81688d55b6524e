"""Whether a file is a shard, and whether its bytes are still those that came. Plain functions; they read files."""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

from asyncwds.compression.decompress import detect
from asyncwds.errors import SpecError, TrailingBytesError
from asyncwds.runtime.units import MiB
from asyncwds.storage.layers.checksums import agrees, digest_for
from asyncwds.tar.headers import BLOCK, checksum_matches
from asyncwds.tar.parser import TarParser

SUM_BYTES = MiB
"""How much of a file has one checksum."""

_DIGITS = 8  # of a CRC-32
_KINDS = {"gzip": "gzip", "bz2": "bzip2", "xz": "XZ", "zstd": "Zstandard", "lz4": "LZ4"}  # as `file` calls them


def magic_filetype(fname: str) -> str:
    """What `file` would say of a shard: NAME, then "POSIX tar archive", "gzip compressed data" and the like, or "data"."""
    with Path(fname).open("rb") as file:
        head = file.read(BLOCK)
    if (kind := detect(head)) is not None:
        return f"{fname}: {_KINDS[kind]} compressed data"
    return f"{fname}: POSIX tar archive" if head[257:262] == b"ustar" or _is_header(head) else f"{fname}: data"


def get_filetype(fname: str) -> str:
    """What the command `file` says. AssertionError, as WebDataset's, where there is no such file or command."""
    assert Path(fname).exists(), fname
    try:
        found = subprocess.run(["file", "--", fname], capture_output=True, text=True, check=True)  # noqa: S603, S607 - as WebDataset
    except (OSError, subprocess.SubprocessError) as error:
        raise AssertionError("the command `file` is not available") from error
    return found.stdout


def check_tar_format(fname: str) -> bool:
    """Whether it begins like a tar archive or like a compressed file."""
    assert Path(fname).exists(), fname
    kind = magic_filetype(fname).removeprefix(f"{fname}: ")
    return "tar archive" in kind or "compressed" in kind


def is_shard_file(path: str) -> bool:
    """Whether it begins with a sound tar header and ends with zeros, as nearly every archive does, or is compressed.

    What ends otherwise is parsed: something may stand behind the mark.

    What fails is an error to the reader too: a page in place of a shard, or one that was cut before it was uploaded.
    So is no archive at all; and one without members is not worth keeping.
    """
    with Path(path).open("rb") as file:
        head = file.read(BLOCK)
        file.seek(-min(BLOCK, os.fstat(file.fileno()).st_size), os.SEEK_END)
        tail = file.read(BLOCK)
    return detect(head) is not None or (_is_header(head) and (not any(tail) or _is_whole(path)))


def has_checksum(path: str, checksum: str | None) -> bool:
    """Whether a file has it; true without one, and for one that cannot be computed here."""
    try:
        digest = digest_for(checksum)
    except SpecError:  # a library is missing
        return True
    if digest is None or checksum is None:
        return True
    with Path(path).open("rb") as file:
        for block in iter(lambda: file.read(SUM_BYTES), b""):
            digest.update(block)
    return agrees(digest, checksum)


def sums_of(path: str) -> str:
    """The CRC-32 of each MiB, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return "".join(sum_of(block) for block in iter(lambda: file.read(SUM_BYTES), b""))


def sum_of(block: bytes | memoryview) -> str:
    return f"{zlib.crc32(block):0{_DIGITS}x}"


def sum_at(sums: str, offset: int) -> str:
    """That of the block which begins at `offset` [bytes]."""
    index = offset // SUM_BYTES * _DIGITS
    return sums[index : index + _DIGITS]


def _is_whole(path: str) -> bool:
    parser = TarParser(path, select=lambda _name: False, max_member_bytes=0)
    with Path(path).open("rb") as file:
        for chunk in iter(lambda: file.read(SUM_BYTES), b""):
            parser.feed(chunk)
    return isinstance(parser.finish(), TrailingBytesError)


def _is_header(head: bytes) -> bool:
    return len(head) == BLOCK and checksum_matches(head)
