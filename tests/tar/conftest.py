"""Every archive in these tests is fed whole, byte by byte and in random chunks; the outcomes must be the same.

So must the samples, errors and all that shows between two chunks be with and without the accelerator.
"""

import importlib.util
import io
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from asyncwds.errors import TarError
from asyncwds.tar import Grouper, Member, Scanner, TarParser, find_run_reader, find_scanner

COMPILE = Path(__file__).parents[2] / "asyncwds" / "tar" / "compile_scan.py"

Outcome = tuple[list[Member], TarError | None]
Parse = Callable[..., Outcome]


def _cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        if start >= len(data):
            return
        yield data[start : start + size]
        start += size


def _single_bytes(data: bytes) -> Iterator[int]:
    """1 for each byte, but one piece for the middle of what is all one byte and not zero: payload, where all cuts are alike."""
    start = 0
    for run in re.finditer(rb"([^\0])\1{255,}", data):
        yield from repeat(1, run.start() + 100 - start)
        yield run.end() - run.start() - 200
        start = run.end() - 100
    yield from repeat(1, len(data) - start)


def _read(chunks: Iterable[bytes], *, at_once: bool = False, **options: Any) -> Outcome:
    """With `at_once` headers are read many at a time, wherever that can be."""
    run = partial(find_run_reader(), least=512) if at_once else None
    parser = TarParser("mem:shard.tar", **{"max_member_bytes": 1 << 30, "read_run": run, **options})
    parser.members_are_small = at_once
    members = [member for chunk in chunks for member in parser.feed(chunk)]
    return members, parser.finish()


def _described(outcome: Outcome) -> tuple[list[Member], object]:
    members, error = outcome
    return members, error and (type(error), str(error), error.offset)


@pytest.fixture(scope="session")
def accelerator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The accelerator that is installed, or one that is compiled now; None only where there is no compiler for it."""
    if find_scanner() is not None:
        return importlib.import_module("asyncwds.tar._scan")
    target = tmp_path_factory.mktemp("scan") / "_scan.abi3.so"
    compiled = subprocess.run([sys.executable, COMPILE, target, "-Werror"], check=False).returncode == 0
    assert compiled or shutil.which("cc") is None or sysconfig.get_config_var("Py_GIL_DISABLED")
    return load_scan(target) if compiled else None


@pytest.fixture(scope="session")
def scan(accelerator: Any) -> Scanner | None:
    """For runs of samples in memory."""
    return None if accelerator is None else accelerator.take_run


def load_scan(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("asyncwds.tar._scan", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def read() -> Callable[..., list[Any]]:
    """`read(chunks, scan, **options of TarParser, strict=)`: see below."""
    return read_samples


def read_samples(chunks: Iterable[bytes], scan: Scanner | None, **options: Any) -> list[Any]:
    """All that a shard's bytes give, and what shows of parser and grouper behind each chunk."""
    strict = options.pop("strict", False)
    options = {"max_member_bytes": 1 << 30, "max_header_bytes": 1 << 20, **options}
    grouper = Grouper("mem:shard.tar", 3, local_path="shard.tar", strict=strict)
    limits = {name: options[name] for name in ("max_member_bytes", "max_header_bytes")}
    parser = TarParser("mem:shard.tar", take_run=grouper.runs(scan, **limits), **options)
    seen: list[Any] = []
    for chunk in chunks:
        memory = bytearray(chunk)
        samples = grouper.feed(parser.feed(memoryview(memory)))
        parser.detach()
        memory[:] = b"\xff" * len(memory)  # it is used again
        seen += [(list(sample.items()), sample.origin) for sample in samples]
        seen += [(position, describe(fault)) for position, fault in grouper.faults]
        seen.append((parser.held, parser.open_member, parser.finished, parser.next_needed, grouper.held, grouper.pending_key))
    seen += [describe(parser.finish()), parser.cut_member, grouper.repeated]
    return [*seen, *[(list(sample.items()), sample.origin) for sample in grouper.finish()]]


def describe(error: Exception | None) -> object:
    return error and (type(error), str(error), getattr(error, "offset", None))


@pytest.fixture(scope="session")
def parse(scan: Scanner | None) -> Parse:
    """`parse(data, **options of TarParser) -> (members, error)`, after checking that it doesn't depend on the chunks.

    Nor do the samples on the accelerator, where members are taken as they are.
    """

    def parse(data: bytes, **options: Any) -> Outcome:
        whole = _read([data], **options)
        source = random.Random(len(data))
        ways: dict[str, Iterable[int]] = {
            "bytes": _single_bytes(data),
            "blocks": (512 for _ in data),
            "nearly blocks": (511 for _ in data),
            "random": (source.choice((0, 1, 7, 100, 511, 512, 513, 1024, 3000, 10_000)) for _ in range(len(data) + 10)),
        }
        for way, sizes in ways.items():
            assert _described(_read(_cut(data, sizes), **options)) == _described(whole), way
        for size in (len(data) + 1, 3000):
            chunks = [data[start : start + size] for start in range(0, len(data), size)]
            assert _described(_read(chunks, at_once=True, **options)) == _described(whole), "many headers at once"
        if not options.keys() & {"select", "rename", "headers_only"}:
            for size in (len(data) + 1, 700):  # test_scanner cuts elsewhere
                chunks = [data[start : start + size] for start in range(0, len(data), size)]
                assert read_samples(chunks, scan, **options) == read_samples(chunks, None, **options), size
        return whole

    return parse


def _header(name: str | bytes, size: int = 0, kind: bytes = b"0", **fields: bytes) -> bytes:
    info = tarfile.TarInfo("name")
    info.size = size
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    raw = name.encode() if isinstance(name, str) else name
    block[:100] = raw.ljust(100, b"\0")
    block[156:157] = kind
    places = {"size_field": slice(124, 136), "magic": slice(257, 265), "prefix": slice(345, 500)}
    for field, value in fields.items():
        place = places[field]
        block[place] = value.ljust(place.stop - place.start, b"\0")
    return _with_checksum(bytes(block))


def _with_checksum(block: bytes) -> bytes:
    """The block with its right checksum."""
    total = sum(block[:148]) + sum(block[156:]) + 256
    return block[:148] + b"%06o\0 " % total + block[156:]


@pytest.fixture(scope="session")
def header() -> Callable[..., bytes]:
    """`header(name, size, kind, size_field=, magic=, prefix=)`: a header block with a right checksum, sound or not otherwise."""
    return _header


@pytest.fixture(scope="session")
def entry() -> Callable[..., bytes]:
    """`entry(name, data, kind, **fields of header)`: header and padded payload."""
    return lambda name, data=b"", kind=b"0", **fields: _header(name, len(data), kind, **fields) + data + bytes(-len(data) % 512)


def _pax_record(keyword: str, value: str) -> bytes:
    """A record begins with its own length, these digits included."""
    rest = f" {keyword}={value}\n".encode()
    length = len(rest) + len(str(len(rest)))
    return b"%d" % (length + (len(str(length)) > len(str(len(rest))))) + rest


@pytest.fixture(scope="session")
def pax(entry: Callable[..., bytes]) -> Callable[..., bytes]:
    """`pax({keyword: value, …}, kind)`: an extended header."""
    return lambda records, kind=b"x": entry("PaxHeader", b"".join(_pax_record(*item) for item in records.items()), kind)


@pytest.fixture(scope="session")
def archive() -> Callable[..., bytes]:
    """`archive({name: data, …}, format)`, written by tarfile."""

    def archive(files: dict[str, bytes], format: int = tarfile.USTAR_FORMAT, **fields: Any) -> bytes:  # noqa: A002 - tarfile's name
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=format, errors="surrogateescape") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                for field, value in fields.items():
                    setattr(info, field, value)
                tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    return archive
