"""Local files appear whole or not at all; nothing is left behind."""

import errno
import gc
import io
import os
import resource
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from asyncwds.errors import AccessError, FetchError, NotFoundError, ShortBodyError, SpecError
from asyncwds.settings import Access
from asyncwds.storage import FileOutput, PipeOutput, StreamOutput, blocking_output, open_sinks
from asyncwds.storage.local import output as outputs
from asyncwds.testing import leaks


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def files_of_at_most(nbytes: int) -> Iterator[None]:
    """A write beyond that fails with EFBIG (Python ignores the signal), as one to a full disk does with ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def file_output(path: Path) -> FileOutput:
    return FileOutput(str(path), str(path))


@pytest.fixture(autouse=True, params=["nameless", "named"])
def _files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything also as on systems where each file has a name."""
    if request.param == "named":
        monkeypatch.setattr(outputs, "NAMELESS", None)


def test_it_is_visible_when_committed(tmp_path: Path) -> None:
    with leaks():
        output = file_output(tmp_path / "a.tar")
        output.write(b"abc")
        assert not (tmp_path / "a.tar").exists()
        assert not list(tmp_path.glob("*.tar")), "the temporary name is matched by no pattern of shards"
        output.write(b"")
        output.write(b"def")
        output.commit()
        output.abort()
    assert (tmp_path / "a.tar").read_bytes() == b"abcdef"
    assert names(tmp_path) == ["a.tar"]


def test_bytes_of_another_file_are_copied_from_any_place(tmp_path: Path) -> None:
    """On a disk, and where no disk of this machine is behind a file system: there a server may do it."""
    data = os.urandom(2_500_000)
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as elsewhere:
        for folder in (tmp_path, Path(elsewhere)):
            (folder / "in").write_bytes(data)
            with leaks(), (folder / "in").open("rb") as source:
                output = file_output(folder / "out")
                output.write(b"abc")
                output.copy(source.fileno(), 512, 2_400_001)
                output.copy(source.fileno(), 7, 7)
                output.write(b"def")
                output.commit()
                short = file_output(folder / "short")
                with pytest.raises(ShortBodyError) as caught:
                    short.copy(source.fileno(), 0, 2_600_000)
                short.abort()
            assert (folder / "out").read_bytes() == b"abc" + data[512:2_400_001] + b"def"
            assert caught.value.offset == len(data)
            assert names(folder) == ["in", "out"]


def test_aborted_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"old")
    with leaks():
        output = file_output(tmp_path / "a.tar")
        output.write(b"new")
        output.abort()
        output.abort()
    assert names(tmp_path) == ["a.tar"]
    assert (tmp_path / "a.tar").read_bytes() == b"old"


def test_dropped_there_is_nothing(tmp_path: Path) -> None:
    with leaks():
        output = file_output(tmp_path / "a.tar")
        output.write(b"new")
        del output
        gc.collect()
    assert names(tmp_path) == []


def test_a_forked_child_leaves_it_alone(tmp_path: Path) -> None:
    output = file_output(tmp_path / "a.tar")
    child = os.fork()
    if child == 0:
        output.abort()
        os._exit(0)
    os.waitpid(child, 0)
    output.write(b"abc")
    output.commit()
    assert (tmp_path / "a.tar").read_bytes() == b"abc"


def test_permissions_are_those_of_any_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        output = file_output(tmp_path / "a.tar")
        output.commit()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.tar").stat().st_mode) == 0o640


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a.tar").symlink_to(tmp_path / "there" / "b.tar")
    output = file_output(tmp_path / "a.tar")
    output.write(b"abc")
    output.commit()
    assert (tmp_path / "a.tar").is_symlink()
    assert (tmp_path / "there" / "b.tar").read_bytes() == b"abc"


def test_a_fifo_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    output = file_output(tmp_path / "fifo")
    output.write(b"abc")
    output.commit()
    reader.join()
    assert received == [b"abc"]
    assert names(tmp_path) == ["fifo"]


def test_a_long_name(tmp_path: Path) -> None:
    output = file_output(tmp_path / ("é" * 120 + ".tar"))
    output.commit()
    assert names(tmp_path) == ["é" * 120 + ".tar"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing/a.tar", NotFoundError),
        ("file/a.tar", NotFoundError),
        ("folder", FetchError),
        ("folder/", FetchError),
        ("a\0b", SpecError),
    ],
)
def test_where_nothing_can_be_written(tmp_path: Path, name: str, error: type[Exception]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with leaks(), pytest.raises(error):
        FileOutput("u", f"{tmp_path}/{name}")
    assert names(tmp_path) == ["file", "folder"]


def test_a_folder_that_may_not_be_written_to() -> None:
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setuid(65534)  # root may write everywhere
        try:
            FileOutput("/etc/asyncwds-test.tar", "/etc/asyncwds-test.tar")
        except AccessError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_file_that_grows_too_large(tmp_path: Path) -> None:
    with leaks(), files_of_at_most(1 << 20):
        output = file_output(tmp_path / "a.tar")
        output.write(bytes(1 << 20))
        with pytest.raises(FetchError, match="too large") as caught:
            output.write(b"x")
        output.abort()
    assert (caught.value.url, caught.value.offset) == (str(tmp_path / "a.tar"), 1 << 20)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert names(tmp_path) == []


def test_a_full_disk() -> None:
    output = FileOutput("/dev/full", "/dev/full")
    with pytest.raises(FetchError, match="No space left"):
        output.write(b"x")
    output.abort()
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_folder_that_is_gone_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    output = file_output(tmp_path / "sub" / "a.tar")
    for path in (tmp_path / "sub").iterdir():
        path.unlink()
    (tmp_path / "sub").rmdir()
    with leaks(), pytest.raises(NotFoundError):
        output.commit()


class Raw(io.RawIOBase):
    """Takes three bytes at a time, as a raw file may."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data[:3])
        return len(data[:3])


class Mute:
    """Has nothing but write, which returns nothing."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


@pytest.mark.parametrize("make", [Raw, Mute])
def test_streams_of_all_kinds(make: Any) -> None:
    stream = make()
    output = StreamOutput(stream, None, close=False)
    output.write(b"abcdefgh")
    output.commit()
    output.abort()
    assert stream.data == b"abcdefgh"


@pytest.mark.parametrize("end", ["commit", "abort"])
@pytest.mark.parametrize("close", [True, False])
def test_a_stream_is_closed_by_whom_it_belongs_to(end: str, close: bool) -> None:
    stream = io.BytesIO()
    getattr(StreamOutput(stream, None, close=close), end)()
    assert stream.closed == close


def test_streams_that_cannot_be_written_to() -> None:
    with pytest.raises(SpecError, match="a path, a URL or a binary file, not int"):
        StreamOutput(5, None, close=False)
    for stream in (io.StringIO(), io.BytesIO()):
        if isinstance(stream, io.BytesIO):
            stream.close()
        with pytest.raises(SpecError, match="cannot be written to"):
            StreamOutput(stream, None, close=False).write(b"x")
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(FetchError, match="No space left") as caught:
        StreamOutput(full, None, close=False).write(b"x")
    assert caught.value.url == "/dev/full"
    full_buffered = Path("/dev/full").open("wb")  # noqa: SIM115
    output = StreamOutput(full_buffered, None, close=True)
    output.write(b"x")
    with pytest.raises(FetchError, match="No space left"):
        output.commit()
    with suppress(OSError):
        full_buffered.close()


def test_a_command_gets_everything(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    with leaks():
        output = PipeOutput(f"pipe:cat > {tmp_path}/out; echo done; echo said >&2")
        output.write(data[:1000])
        output.write(data[1000:])
        output.commit()
        output.abort()
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize(
    ("command", "message", "status"),
    [("cat >/dev/null; echo no >&2; exit 3", "failed, with status 3: no", 3), ("kill -9 $$", "killed by SIGKILL", -9)],
)
def test_a_command_that_fails(command: str, message: str, status: int) -> None:
    with leaks(), pytest.raises(FetchError, match=message) as caught:
        output = PipeOutput(f"pipe:{command}")
        output.commit()
    assert caught.value.status == status


def test_a_command_that_stops_reading() -> None:
    with leaks():
        output = PipeOutput("pipe:head -c 10 >/dev/null; echo enough; exit 4")
        with pytest.raises(FetchError, match="ended before its input did, with status 4: enough"):
            while True:
                output.write(bytes(1 << 16))
        output.abort()


@pytest.mark.parametrize("how", ["abort", "drop"])
def test_a_command_that_is_given_up_is_killed_before_its_input_ends(tmp_path: Path, how: str) -> None:
    with leaks():
        output = PipeOutput(f"pipe:cat > /dev/null && touch {tmp_path}/took-it-for-the-whole")
        output.write(b"half")
        if how == "abort":
            output.abort()
        del output
        gc.collect()
    assert names(tmp_path) == []


def test_a_command_that_hangs_can_be_killed_from_elsewhere() -> None:
    with leaks():
        output = PipeOutput("pipe:sleep 1000")
        killer = threading.Timer(0.2, output.kill)
        killer.start()
        with pytest.raises(FetchError, match="killed by SIGKILL"):
            while True:
                output.write(bytes(1 << 16))
        killer.join()


@pytest.mark.parametrize("url", ["pipe:", "pipe: ", "pipe:a\0b"])
def test_no_command(url: str) -> None:
    with leaks(), pytest.raises(SpecError, match="command"):
        PipeOutput(url)


def test_which_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"{tmp_path}/a%20b", f"file:{tmp_path}/a%20b"):
        output = blocking_output(url, {})
        assert isinstance(output, FileOutput)
        output.commit()
    assert names(tmp_path) == ["a b", "a%20b"]
    assert blocking_output("https://host/a.tar", {}) is None
    with pytest.raises(SpecError, match="nothing writes to nowhere: urls; there is .*http:, https:, file:, pipe:"):
        blocking_output("nowhere://host/a", {})
    monkeypatch.setenv("WDS_SECURE", "1")
    for url in (f"{tmp_path}/c", "pipe:cat"):
        with pytest.raises(SpecError, match="WDS_SECURE"):
            blocking_output(url, {})
    assert blocking_output("https://host/a.tar", {}) is None


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    standard = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", standard)
    output = blocking_output("-", {})
    assert output is not None
    output.write(b"abc")
    output.commit()
    assert standard.buffer.getvalue() == b"abc"  # type: ignore[attr-defined]
    assert not standard.buffer.closed


async def test_a_sink_for_every_url(tmp_path: Path) -> None:
    from asyncwds.runtime import BlockingPool

    async with leaks():
        with BlockingPool("test") as thread:
            sinks = open_sinks(Access(), thread)
            for url in (f"{tmp_path}/a", f"file:{tmp_path}/b", f"pipe:cat > {tmp_path}/c"):
                upload = await sinks.open(url)
                await upload.write(b"abc")
                await upload.commit()
                await upload.abort()
            upload = await sinks.open(f"{tmp_path}/d")
            await upload.write(b"abc")
            await upload.abort()
            with pytest.raises(NotFoundError, match=r"no folder .*missing' to write to: make it first"):
                await sinks.open(f"{tmp_path}/missing/d")
            with pytest.raises(SpecError, match="nothing writes to"):
                await sinks.open("nowhere://host/a")
            await sinks.aclose()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys("abc", b"abc")
