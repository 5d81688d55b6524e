"""Archives with exactly one thing wrong, by the number of the rule that finds it."""

import gzip
import io
import lzma
import random
import tarfile
from collections.abc import Callable

import pytest

END = bytes(1024)

Entry = Callable[..., bytes]


def make_entry(name: str | bytes, data: bytes = b"x", kind: bytes = b"0", *, size: bytes | None = None) -> bytes:
    """Header and padded payload; `size` is what the header says in place of the truth."""
    info = tarfile.TarInfo("name")
    info.size = len(data)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    raw = name if isinstance(name, bytes) else name.encode()
    block[:100] = raw.ljust(100, b"\0")
    block[156:157] = kind
    if size is not None:
        block[124:136] = size.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + bytes(-len(data) % 512)


def make_archive(*names: str | tuple[str, bytes]) -> bytes:
    """A sound archive of members with these names, and payloads."""
    files = [(name, name.encode()) if isinstance(name, str) else name for name in names]
    return b"".join(make_entry(name, data) for name, data in files) + END


def with_pax(name: str, data: bytes = b"x") -> bytes:
    """Written by tarfile, with a PAX header before it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = len(data), 1.5
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


GOOD = make_archive("a.jpg", "a.txt", "b.jpg", "b.txt")
FLIPPED = bytearray(GOOD)
FLIPPED[1024 + 130] ^= 1

# Rule → bytes of the one shard, in which it finds something once.
SHARDS = {
    "W01": GOOD[:3000],
    "W02": GOOD[:-1024],
    "W03": bytes(FLIPPED),
    "W04": b"<!DOCTYPE html><title>Not today".ljust(600),
    "W05": GOOD + b"tail".ljust(600, b"!"),
    "W06": gzip.compress(GOOD, mtime=0),
    "W10": make_archive("a.jpg", "b.jpg", "b.txt", "a.txt"),
    "W11": make_archive("a.jpg", "b.jpg", "a.jpg"),
    "W13": make_archive("a.jpg", "a.txt", ("a.jpg", b"other")),
    "W14": make_archive("a.jpg", "a.txt", "b.jpg", "b.txt", "c.jpg"),
    "W17": make_archive("a.jpg", ("a.txt", b"")),
    "W18": END,
    "W20": make_archive("../a.jpg"),
    "W21": make_archive("a.JPG"),
    "W23": with_pax("long" * 30 + ".jpg"),
    "W24": make_archive("a.jpg", "README"),
    "W25": make_entry(b"\xff\xfe.jpg") + END,
    "W30": make_entry("a.jpg") + make_entry("b.jpg", b"", b"2") + END,
    "W31": make_entry("folder/", b"", b"5") + GOOD,
    "W33": with_pax("a.jpg"),
    "W34": make_entry("a.jpg") + make_entry("odd", b"payload", b"A") + END,
}


SOUND = make_archive("a.jpg", ("a.txt", b"2" * 700), "b.jpg", "b.txt", "c.jpg", "c.txt")


def flipped(place: int, data: bytes = SOUND) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 0x11
    return bytes(changed)


CORPUS = {
    "sound": SOUND,
    **{f"cut at {place}": SOUND[:place] for place in (1, 300, 512, 600, 1024, 1800, 2560, len(SOUND) - 1024, len(SOUND) - 600)},
    **{f"a byte of a header, {place}": flipped(1024 + place) for place in (0, 99, 124, 150, 156, 257, 345)},
    "the first header": flipped(3),
    "a header wiped out": SOUND[:1024] + bytes(512) + SOUND[1536:],
    "trailing bytes": SOUND + b"!" * 700,
    "another archive behind it": SOUND + make_archive("d.jpg"),
    "a damaged archive behind it": SOUND + flipped(5, make_archive("d.jpg")),
    "an empty file": b"",
    "no members": END,
    "HTML": b"<html>".ljust(3000),
    "JSON": b'{"error": "no such bucket"}',
    "a size that is no number": make_entry("a.jpg") + make_entry("b.jpg", size=b"0000000000z") + END,
    "a size of terabytes": make_entry("a.jpg") + make_entry("b.jpg", size=b"77777777777") + END,
    "scattered": make_archive("a.jpg", "b.jpg", "a.txt", "b.txt", "c.jpg"),
    "a key three times": make_archive("a.jpg", "b.jpg", "a.jpg", "c.jpg", "a.jpg"),
    "a field twice": make_archive("a.jpg", "a.jpg", "a.JPG", "b.jpg"),
    "a field twice in a piece": make_archive("a.jpg", "b.jpg", "a.txt", "a.txt"),
    "gzip": gzip.compress(SOUND),
    "gzip, cut": gzip.compress(SOUND)[:-30],
    "gzip, damaged": flipped(40, gzip.compress(random.Random(0).randbytes(100) + SOUND)),
    "gzip, something behind it": gzip.compress(SOUND) + b"!" * 100,
    "gzip of a cut archive": gzip.compress(SOUND[:1700]),
    "gzip of one without end": gzip.compress(SOUND[:-1024]),
    "xz, cut": lzma.compress(SOUND)[:-20],
}  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bad_shard" in metafunc.fixturenames:
        metafunc.parametrize(("rule", "bad_shard"), SHARDS.items(), ids=SHARDS)
    if "bad_archive" in metafunc.fixturenames:
        metafunc.parametrize("bad_archive", CORPUS.values(), ids=CORPUS)


@pytest.fixture(scope="session")
def entry() -> Entry:
    return make_entry


@pytest.fixture(scope="session")
def archive() -> Callable[..., bytes]:
    return make_archive
