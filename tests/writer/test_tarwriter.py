"""One archive: to a path, a command, an open file; whole or not at all."""

import gc
import io
import os
import pickle
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import BridgeError, EncodeError, FetchError, NotFoundError, SampleError, SpecError
from asyncwds.testing import leaks, make_shard
from asyncwds.writer import Options

ZST = pytest.param("zst", marks=pytest.mark.needs("zstandard"))
LZ4 = pytest.param("lz4", marks=pytest.mark.needs("lz4"))
SAMPLE = {"__key__": "a", "bin": b"\0" * 600, "cls": 3, "txt": "hé"}


def infos(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return list(archive)


def written(*samples: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    with wds.TarWriter(file, **options) as sink:
        for sample in samples:
            sink.write(sample)
    return file.getvalue()


def test_what_is_written_comes_back(tmp_path: Path, samples: Any, read: Any, listed: Any) -> None:
    with leaks(), wds.TarWriter(tmp_path / "a.tar") as sink:
        assert [sink.write(sample) for sample in samples(3)] == [101, 101, 101]
    assert read(tmp_path / "a.tar") == samples(3)
    assert [name for name, _ in listed(tmp_path / "a.tar")] == ["000.bin", "000.cls", "001.bin", "001.cls", "002.bin", "002.cls"]


def test_it_is_tarfiles_own_archive(samples: Any) -> None:
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples(50, 700):
            for field, data in (("bin", sample["bin"]), ("cls", str(sample["cls"]).encode())):
                info = tarfile.TarInfo(f"{sample['__key__']}.{field}")
                info.size, info.mtime, info.mode, info.uname, info.gname = len(data), 7, 0o640, "me", "us"
                archive.addfile(info, io.BytesIO(data))
    assert written(*samples(50, 700), mtime=7, mode=0o640, user="me", group="us") == expected.getvalue()


def test_defaults_of_members() -> None:
    before = int(time.time())
    [first, *_] = infos(written(SAMPLE))
    assert (first.mode, first.uname, first.gname, first.uid, first.gid) == (0o444, "bigdata", "bigdata", 0, 0)
    assert before <= first.mtime <= time.time()
    assert first.pax_headers == {}


def test_the_same_samples_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled = dict(reversed(SAMPLE.items()))
    first = written(SAMPLE, mtime=0, compress="gz")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert written(shuffled, mtime=0, compress="gz") == first
    assert written(SAMPLE) != written(SAMPLE, mtime=0)


@pytest.mark.parametrize("kind", [None, "USTAR_FORMAT", tarfile.USTAR_FORMAT, "GNU_FORMAT", 1, "PAX_FORMAT", tarfile.PAX_FORMAT])
def test_formats(kind: Any) -> None:
    data = written(SAMPLE, format=kind, mtime=1.5)
    assert [info.name for info in infos(data)] == ["a.bin", "a.cls", "a.txt"]
    assert data[257:265] == (b"ustar  \0" if kind in {"GNU_FORMAT", 1} else b"ustar\x0000")
    assert infos(data)[0].mtime == (1.5 if kind in {"PAX_FORMAT", 2} else 1)


def test_names_that_need_more_than_a_header(read: Any, tmp_path: Path) -> None:
    sample = {"__key__": "ordner/" + "ü" * 120, "txt": "x"}
    (tmp_path / "a.tar").write_bytes(written(sample, mtime=0))
    assert read(tmp_path / "a.tar") == [sample]
    with pytest.raises(SampleError, match="cannot hold"):
        written(sample, format="USTAR_FORMAT")


@pytest.mark.parametrize("options", [{"format": "cpio"}, {"format": 7}, {"compress": "rar"}, {"encoder": 5}, {"user": 5}])
def test_arguments_that_make_no_sense(tmp_path: Path, names: Any, options: dict[str, Any]) -> None:
    with leaks(), pytest.raises(SpecError):
        wds.TarWriter(tmp_path / "a.tar", **options)
    assert names() == []
    with pytest.raises(TypeError):
        wds.TarWriter(tmp_path / "a.tar", nonsense=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", ZST, LZ4])
@pytest.mark.parametrize("how", ["argument", "name"])
def test_compressed(tmp_path: Path, samples: Any, read: Any, kind: str, how: str) -> None:
    path = tmp_path / f"a.tar.{kind}" if how == "name" else tmp_path / "a.tar"
    with wds.TarWriter(path, compress=None if how == "name" else kind) as sink:
        for sample in samples(100, 50_000):
            sink.write(sample)
    assert path.stat().st_size < 100_000
    assert read(path) == samples(100, 50_000)


def test_compressed_or_not_whatever_the_name(tmp_path: Path) -> None:
    for name, compress, magic in [("a.tar.gz", False, b"a.bin"), ("a.tar", True, b"\x1f\x8b")]:
        with wds.TarWriter(tmp_path / name, compress=compress) as sink:
            sink.write(SAMPLE)
        assert (tmp_path / name).read_bytes().startswith(magic)


def test_a_file_of_the_callers_stays_open() -> None:
    file = io.BytesIO()
    with wds.TarWriter(file) as sink:
        sink.write(SAMPLE)
    file.write(b"more")
    assert file.getvalue().endswith(b"more")


def test_to_a_command(tmp_path: Path, samples: Any, read: Any) -> None:
    with leaks(), wds.TarWriter(f"pipe:cat > {tmp_path}/a.tar") as sink:
        for sample in samples(3):
            sink.write(sample)
    assert read(tmp_path / "a.tar") == samples(3)
    with leaks(), pytest.raises(FetchError, match="status 3"), wds.TarWriter("pipe:cat >/dev/null; exit 3") as sink:
        sink.write(SAMPLE)


def test_members_as_large_as_several_chunks(tmp_path: Path, read: Any) -> None:
    samples = [
        {"__key__": str(number), "bin": os.urandom(size)} for number, size in enumerate([3_000_000, 1, 1 << 20, 0, 2_000_001])
    ]
    with wds.TarWriter(tmp_path / "a.tar") as sink:
        for sample in samples:
            sink.write(sample)
    assert read(tmp_path / "a.tar") == samples


def test_a_sample_that_cannot_be_written_leaves_the_others(tmp_path: Path, read: Any) -> None:
    with wds.TarWriter(tmp_path / "a.tar") as sink:
        sink.write({"__key__": "a", "cls": 1})
        for bad, error in [
            ({"__key__": "b", "jpg": 5}, EncodeError),
            ({"__key__": "c.d", "cls": 1}, SampleError),
            ({"__key__": "a", "x": b""}, SampleError),
        ]:
            with pytest.raises(error):
                sink.write(bad)
        sink.write({"__key__": "e", "cls": 2})
    assert read(tmp_path / "a.tar") == [{"__key__": "a", "cls": 1}, {"__key__": "e", "cls": 2}]


def test_one_key_twice_in_a_row() -> None:
    with pytest.raises(SampleError, match="two samples in a row have this key") as caught:
        written({"__key__": "a", "x": b""}, {"__key__": "a", "y": b""})
    assert caught.value.key == "a"
    assert len(infos(written({"__key__": "a", "x": b""}, {"__key__": "a", "y": b""}, check_names=False))) == 2
    assert len(infos(written({"__key__": "a", "x": b""}, {"__key__": "b", "x": b""}, {"__key__": "a", "x": b""}))) == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_leaves_nothing(tmp_path: Path, names: Any, error: type[BaseException]) -> None:
    (tmp_path / "a.tar").write_bytes(b"old")
    with leaks(), pytest.raises(error), wds.TarWriter(tmp_path / "a.tar") as sink:
        sink.write({"__key__": "a", "bin": bytes(3_000_000)})
        raise error
    assert names() == ["a.tar"]
    assert (tmp_path / "a.tar").read_bytes() == b"old"


def test_a_file_of_the_callers_has_no_end_mark_after_an_error(tmp_path: Path, read: Any) -> None:
    with (tmp_path / "a.tar").open("wb") as file, pytest.raises(ZeroDivisionError), wds.TarWriter(file) as sink:
        sink.write({"__key__": "a", "bin": bytes(3_000_000)})
        raise ZeroDivisionError
    with pytest.raises(wds.errors.TruncatedTarError):
        read(tmp_path / "a.tar")


def test_close_is_idempotent_and_nothing_follows_it(tmp_path: Path, read: Any) -> None:
    sink = wds.TarWriter(tmp_path / "a.tar")
    sink.write(SAMPLE)
    sink.close()
    sink.close()
    with sink:
        pass
    with pytest.raises(SpecError, match="the writer was closed"):
        sink.write(SAMPLE | {"__key__": "b"})
    assert [sample["__key__"] for sample in read(tmp_path / "a.tar")] == ["a"]


def test_never_closed(tmp_path: Path, names: Any) -> None:
    with leaks():
        sink = wds.TarWriter(tmp_path / "a.tar")
        sink.write({"__key__": "a", "bin": bytes(3_000_000)})
        assert "a.tar" not in names()
        with pytest.warns(RuntimeWarning, match=r"a\.tar was never closed"):  # noqa: PT031 - dropping it is what warns
            del sink
            gc.collect()
    assert names() == []


def test_a_write_that_failed_is_the_last(tmp_path: Path) -> None:
    sink = wds.TarWriter("/dev/full")
    with pytest.raises(FetchError, match="No space left"):
        sink.write({"__key__": "a", "bin": bytes(3_000_000)})
    with pytest.raises(SpecError, match="an earlier write failed"):
        sink.write(SAMPLE | {"__key__": "b"})
    sink.close()
    with pytest.raises(FetchError, match="No space left"), wds.TarWriter("/dev/full") as small:
        small.write(SAMPLE)


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        wds.TarWriter(tmp_path / "missing" / "a.tar")
    with pytest.raises(SpecError, match="nothing writes to ftp"):
        wds.TarWriter("ftp://host/a.tar")
    with pytest.raises(SpecError, match="a path, a URL or a binary file"):
        wds.TarWriter(5)  # type: ignore[arg-type]


def test_secure_mode(tmp_path: Path, names: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SECURE", "1")
    for target in (str(tmp_path / "a.tar"), f"pipe:cat > {tmp_path}/a.tar"):
        with pytest.raises(SpecError, match="WDS_SECURE"):
            wds.TarWriter(target)
    assert names() == []


def test_not_in_a_forked_child(tmp_path: Path, read: Any) -> None:
    with wds.TarWriter(tmp_path / "a.tar") as sink:
        sink.write(SAMPLE)
        child = os.fork()
        if child == 0:
            try:
                sink.write({"__key__": "b", "bin": bytes(3_000_000)})
            except BridgeError:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [sample["__key__"] for sample in read(tmp_path / "a.tar")] == ["a"]


@pytest.mark.parametrize(
    ("fileobj", "compress", "mode"),
    [
        ("a.tar", None, "w|"),
        ("a.tar.gz", None, "w|gz"),
        ("a.tar.gz", False, "w|"),
        ("a", True, "w|gz"),
        (io.BytesIO(), "xz", "w|xz"),
    ],
)
def test_modes_of_tarfile(fileobj: Any, compress: Any, mode: str) -> None:
    assert wds.TarWriter.tarmode(fileobj, compress) == mode


def test_an_archive_without_samples(tmp_path: Path, read: Any) -> None:
    wds.TarWriter(tmp_path / "a.tar").close()
    assert (tmp_path / "a.tar").read_bytes() == bytes(10240)
    assert read(tmp_path / "a.tar") == []


def test_options_can_be_sent_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(Options(mtime=0, compress="xz"))) == Options(mtime=0, compress="xz")


def test_our_shards_for_tests_are_the_same(samples: Any) -> None:
    raw: list[dict[str, Any]] = [sample | {"cls": str(sample["cls"])} for sample in samples(5)]
    plain = make_shard(raw)
    assert [(info.name, info.size) for info in infos(written(*raw))] == [(info.name, info.size) for info in infos(plain)]
