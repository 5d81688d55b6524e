"""fsspec's file systems: in memory, in an FTP server and an SFTP server of the test's own, and ones that misbehave."""

import asyncio
import io
import pickle
import random
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import fsspec
import paramiko
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations, register_implementation
from fsspec.spec import AbstractFileSystem

import asyncwds as wds
from asyncwds import FileSystem, Http, Retry
from asyncwds.errors import AccessError, ChangedError, FetchError, FetchTimeoutError, NotFoundError, ShortBodyError, SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import Fetcher, ObjectRange, open_storage
from asyncwds.storage.fsspec import store as ours
from asyncwds.testing import CHECKS, leaks, make_samples, make_shard, read

DATA = random.Random(6).randbytes(400_000)
PART = 100_000
QUICK = Retry(tries=4, backoff=0.01, backoff_max=0.05)


class Odd(MemoryFileSystem):
    """The same files as `memory://`, under another name, with faults: what is in `faults` is raised by the next reads."""

    protocol = "odd"
    faults: list[Exception] = []  # noqa: RUF012 - shared, as the files are
    sizes = True
    short = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(str(path).removeprefix("odd://"))

    def info(self, path: str, **options: object) -> dict:
        if Odd.faults:
            raise Odd.faults.pop(0)
        info = super().info(path, **options)
        return info if Odd.sizes else {"name": path, "type": "file", "size": None}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: object) -> bytes:
        piece = super().cat_file(path, start, end, **options)
        short, Odd.short = Odd.short, 0
        return bytes(piece[: len(piece) - short])

    def _open(self, path: str, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO(self.store[path].getvalue())


class Mirrored(AbstractFileSystem):
    """The same files. As fsspec's asynchronous ones it has a `cat_file` on each object only, which takes no more than it needs."""

    protocol = "mirrored"

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.cat_file = lambda path, start=None, end=None: MemoryFileSystem().cat_file(path, start, end)

    def info(self, path: str, **options: object) -> dict:
        return MemoryFileSystem().info(path, **options)


@pytest.fixture(autouse=True)
def odd() -> Iterator[type[Odd]]:
    register_implementation("odd", Odd, clobber=True)
    register_implementation("mirrored", Mirrored, clobber=True)
    Odd.faults, Odd.sizes, Odd.short = [], True, 0
    yield Odd
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def put(name: str, data: bytes, scheme: str = "memory") -> str:
    fsspec.filesystem("memory").pipe_file(f"/{name}", data)
    return f"{scheme}://{name}"


@asynccontextmanager
async def fetching(settings: FileSystem | None = None, counters: Counters | None = None) -> AsyncIterator[Fetcher]:
    storage = {} if settings is None else {"odd://": settings}
    async with leaks():
        fetcher = open_storage(Access(Http(), QUICK, storage or {}), counters or Counters())
        try:
            yield fetcher
        finally:
            await fetcher.aclose()


@pytest.mark.parametrize("scheme", ["memory", "odd"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(check: Callable, scheme: str) -> None:
    prefix = uuid.uuid4().hex
    async with fetching() as fetcher:
        await check(fetcher, lambda name, data: put(f"{prefix}/{name}", data, scheme))


@pytest.mark.parametrize(
    "check", [check for check in CHECKS if check.__name__ != "replaced_objects"], ids=lambda check: check.__name__
)
async def test_it_passes_the_contract_where_files_tell_no_size(check: Callable) -> None:
    Odd.sizes = False
    async with fetching() as fetcher:
        await check(fetcher, lambda name, data: put(name, data, "odd"))


@pytest.mark.parametrize("scheme", ["memory", "mirrored"])
async def test_parts_join_to_the_object_and_are_counted(scheme: str) -> None:
    url, counters = put("a.tar", DATA, scheme), Counters()
    async with fetching(counters=counters) as fetcher:
        answers = await asyncio.gather(*(read(fetcher, url, at, at + PART) for at in range(0, len(DATA), PART)))
    assert b"".join(data for _, data in answers) == DATA
    assert (counters.bytes, counters.requests) == (len(DATA), 4)


async def test_fault_08_errors_that_may_pass_are_met_with_another_try() -> None:
    url, counters = put("a.tar", DATA, "odd"), Counters()
    Odd.faults = [ConnectionResetError("gone"), TimeoutError("late"), EOFError("cut")]
    Odd.short = 1000
    async with fetching(counters=counters) as fetcher:
        assert (await read(fetcher, url))[1] == DATA
    assert counters.retries == 4


class SSHAuthError(Exception):
    """As libraries name theirs."""


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (FileNotFoundError("/a"), NotFoundError, "FileNotFoundError"),
        (PermissionError("no"), AccessError, "no"),
        (SSHAuthError("who?"), AccessError, "who"),
        (ImportError("no module named paramiko"), SpecError, "paramiko"),
        (TypeError("unexpected argument"), SpecError, "options"),
        (RuntimeError("sftp://me:secret@host broke"), FetchError, "broke"),
    ],
)
async def test_errors_that_do_not_pass(fault: Exception, kind: type[Exception], words: str) -> None:
    url = put("a.tar", DATA, "odd")
    Odd.faults = [fault]
    async with fetching() as fetcher:
        with pytest.raises(kind, match=words) as caught:
            await read(fetcher, url)
    assert caught.value.url == url
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is fault


@pytest.mark.parametrize(("fault", "kind"), [(TimeoutError("late"), FetchTimeoutError), (OSError("broken"), FetchError)])
async def test_errors_that_stay(fault: Exception, kind: type[Exception]) -> None:
    url = put("a.tar", DATA, "odd")
    Odd.faults = [fault] * 4
    async with fetching() as fetcher:
        with pytest.raises(kind) as caught:
            await read(fetcher, url)
    assert caught.value.attempts == 4


async def test_a_file_that_shrinks_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    url = put("a.tar", DATA, "odd")
    monkeypatch.setattr(ours, "PIECE", 1000)
    fetcher = ours.FsspecFetcher(FileSystem(), Counters())
    async with fetcher.open(ObjectRange(url)) as body:
        chunks = aiter(body)
        await anext(chunks)
        put("a.tar", DATA[:1500])
        with pytest.raises(ShortBodyError, match="500 bytes too few"):
            async for _ in chunks:
                pass
    await fetcher.aclose()


async def test_fault_14_a_file_that_was_replaced_is_refused() -> None:
    url = put("a.tar", DATA)
    async with fetching() as fetcher:
        answer, _ = await read(fetcher, url, 0, PART)
        put("a.tar", DATA[::-1])
        with pytest.raises(ChangedError):
            await read(fetcher, url, PART, 2 * PART, answer.identity)


async def test_a_folder_is_no_shard() -> None:
    put("folder/a.tar", DATA)
    async with fetching() as fetcher:
        with pytest.raises(FetchError, match="this is a folder"):
            await read(fetcher, "memory://folder")


async def test_a_body_that_is_left_while_it_is_read_closes_its_file_afterwards() -> None:
    Odd.sizes = False
    url = put("a.tar", DATA * 20, "odd")
    async with fetching() as fetcher:
        for turns in range(6):
            task = asyncio.create_task(read(fetcher, url))
            for _ in range(turns):
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])


async def test_schemes_that_nobody_knows() -> None:
    async with fetching() as fetcher:
        with pytest.raises(SpecError, match="no storage for nosuch:"):
            await read(fetcher, "nosuch://a.tar")


async def test_without_fsspec_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.registry", None)
    async with fetching() as fetcher:
        with pytest.raises(SpecError, match=r"no storage for odd: .*asyncwds\[fsspec\]"):
            await read(fetcher, "odd://a.tar")


async def test_a_scheme_whose_library_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, "needy", {"class": "nosuch.Needy", "err": "install nosuch to use it"})
    async with fetching() as fetcher:
        with pytest.raises(SpecError, match="no storage for needy: .*install nosuch"):
            await read(fetcher, "needy://a.tar")


async def test_in_secure_mode_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    url = put("a.tar", DATA, "odd")
    monkeypatch.setenv("WDS_SECURE", "1")
    async with fetching() as fetcher:
        with pytest.raises(SpecError, match="no storage for odd:"):
            await read(fetcher, url)
    async with fetching(FileSystem()) as fetcher:
        with pytest.raises(SpecError, match="WDS_SECURE"):
            await read(fetcher, url)


class OnePassword(asyncssh.SSHServer):
    connections: list[asyncssh.SSHServerConnection]

    def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
        self.connections.append(connection)

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("me", "secret")


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[str]:
    """A server that serves everything below /, as sftp does; its host and port."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    ports, OnePassword.connections = [], []

    async def start() -> asyncssh.SSHAcceptor:
        key = asyncssh.generate_private_key("ssh-ed25519")
        return await asyncssh.create_server(OnePassword, "127.0.0.1", 0, server_host_keys=[key], sftp_factory=True)

    def run() -> None:
        server = loop.run_until_complete(start())
        ports.append(server.get_port())
        started.set()
        loop.run_forever()
        server.close()
        for connection in OnePassword.connections:
            connection.abort()
        loop.run_until_complete(server.wait_closed())
        while left := asyncio.all_tasks(loop):
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    yield f"127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def connections() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, paramiko.Transport)]


async def test_an_sftp_server(sftp: str, tmp_path: Path) -> None:
    (tmp_path / "a b.tar").write_bytes(DATA)
    url = f"sftp://me@{sftp}{tmp_path}/a b.tar"
    fetcher = ours.FsspecFetcher(
        FileSystem(options={"password": "secret", "look_for_keys": False, "allow_agent": False}), Counters()
    )
    answer, _ = await read(fetcher, url, 0, 10)
    starts = range(0, len(DATA), PART)
    parts = await asyncio.gather(*(read(fetcher, url, at, at + PART, answer.identity) for at in starts))
    assert b"".join(data for _, data in parts) == DATA
    with pytest.raises(NotFoundError):
        await read(fetcher, url + ".none")
    (tmp_path / "a b.tar").write_bytes(DATA[:-1])
    with pytest.raises(ChangedError):
        await read(fetcher, url, 0, 10, answer.identity)
    assert connections()
    await fetcher.aclose()
    for thread in connections():
        thread.join(5)
    assert not connections()


async def test_an_sftp_server_that_refuses_the_password(sftp: str) -> None:
    # paramiko keeps the connection until the server closes it.
    url = f"sftp://me@{sftp}/a.tar"
    wrong = FileSystem(options={"password": "wrong-one", "look_for_keys": False, "allow_agent": False})
    fetcher = ours.FsspecFetcher(wrong, Counters())
    with pytest.raises(AccessError) as caught:
        await read(fetcher, url)
    await fetcher.aclose()
    assert "wrong-one" not in str(caught.value)


def test_settings() -> None:
    assert "secret" not in repr(FileSystem(options={"password": "secret"}))
    with pytest.raises(SpecError, match="not pickled"):
        pickle.dumps(FileSystem(options={"password": "secret"}))
    assert pickle.loads(pickle.dumps(FileSystem(threads=3))) == FileSystem(threads=3)
    with pytest.raises(SpecError, match="threads"):
        FileSystem(threads=0)


def test_samples_by_a_pattern() -> None:
    for name, prefix in (("set/0.tar", ""), ("set/1.tar", "b"), ("set/deep/2.tar", "c"), ("set/x.txt", "d")):
        put(name, make_shard(make_samples(3, prefix=prefix)))
    assert len([sample["__key__"] for sample in wds.WebDataset("memory://set/*.tar")]) == 6
    assert len([sample["__key__"] for sample in wds.WebDataset("memory://set/**/*.tar")]) == 9
    with pytest.raises(SpecError, match="nothing"):
        wds.WebDataset("memory://set/*.none")


def test_nothing_is_written_by_it() -> None:
    with pytest.raises(SpecError, match="nothing writes"):
        wds.ShardWriter("memory://out-%d.tar", verbose=0).write({"__key__": "a", "txt": "b"})
