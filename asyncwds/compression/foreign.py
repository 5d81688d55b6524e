"""What stands in place of a tar archive, told by its first bytes, and what to do about it. Plain functions of bytes.

They are asked only about bytes that are no tar header and no compression that is read, so a short magic does no harm.
"""

from __future__ import annotations

_COMPRESSED = (
    (b"\x1f\x9d", "compress (.Z)", "gzip -dc"),
    (b"\x1f\x1e", "pack (.z)", "gzip -dc"),
    (b"\x1f\xa0", "LZH", "gzip -dc"),
    (b"\x02\x21\x4c\x18", "lz4 (legacy frames)", "lz4 -dc"),
    (b"LZIP", "lzip", "lzip -dc"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop", "lzop -dc"),
    (b"LRZI", "lrzip", "lrzcat"),
    (b"\xff\6\0\0sNaPpY", "snappy (framed)", "snzip -dc"),
)
_ARCHIVES = (
    (b"PK\3\4", "a zip archive"),
    (b"PK\5\6", "a zip archive without files"),
    (b"PK\7\x08", "a part of a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\7", "a rar archive"),
    (b"!<arch>\n", "an ar archive"),
    (b"070701", "a cpio archive"),
    (b"070702", "a cpio archive"),
    (b"070707", "a cpio archive"),
    (b"hsqs", "a squashfs image"),
)
_OTHERS = (
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
)
_TEXTS = (
    (b"<", "an HTML or XML page"),
    (b"{", "JSON text"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)


def foreign(head: bytes) -> str | None:
    """What these first bytes belong to, and what would do, as the rest of a sentence; None if they are not known."""
    for magic, kind, command in _COMPRESSED:
        if head.startswith(magic):
            return _not_read(kind, command)
    if _is_lzma_alone(head):
        return _not_read("lzma", "xz -dc")
    if _is_zlib(head):
        return _not_read("zlib (without gzip's header)", "pigz -dcz")
    for magic, kind in _ARCHIVES:
        if head.startswith(magic):
            return f"{kind}, not a tar archive: unpack it and make a tar archive of its files"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    named = (kind for magic, kind in _OTHERS + _TEXTS if (head if magic[0] > 127 else start).startswith(magic))
    return next((f"{kind}, not a tar archive" for kind in named), None)


def _not_read(kind: str, command: str) -> str:
    return (
        f"compressed with {kind}, which is not read: read it through a command, 'pipe:{command} FILE', "
        "or compress it anew with gzip, zstd, xz, bzip2 or lz4"
    )


def _is_lzma_alone(head: bytes) -> bool:
    """The header of .lzma files has no magic: settings, size of the dictionary (2^n or 2^n + 2^(n-1)), size or all ones."""
    if len(head) < 13 or head[0] >= 9 * 5 * 5:
        return False
    dictionary, size = int.from_bytes(head[1:5], "little"), head[5:13]
    top = 1 << (dictionary.bit_length() - 1) if dictionary else 0
    return dictionary in (top, top + top // 2) and dictionary >= 1 << 12 and (size == b"\xff" * 8 or not any(size[5:]))


def _is_zlib(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x78 and head[1] in (0x01, 0x5E, 0x9C, 0xDA)
