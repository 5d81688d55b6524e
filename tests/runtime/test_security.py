"""The secure mode: what may be opened and written to."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

import asyncwds as wds
from asyncwds import Http, Retry, enforce_security
from asyncwds.errors import FetchError, SpecError
from asyncwds.runtime import Counters, why_refused
from asyncwds.settings import Access
from asyncwds.storage import blocking_output, open_storage
from asyncwds.testing import Fault, FaultServer, make_samples, make_shard, read


@pytest.fixture(autouse=True)
def secure(monkeypatch) -> None:
    for name in ("WDS_SECURE", "WDS_SCHEMES"):
        monkeypatch.setenv(name, "")  # so that it is taken back
    enforce_security()


@pytest.mark.parametrize("url", ["/a.tar", "a.tar", "file:a.tar", "pipe:cat a.tar"])
async def test_local_files_and_commands_are_refused(url: str) -> None:
    storage = open_storage(Access(), Counters())
    with pytest.raises(SpecError, match="WDS_SECURE is set"):
        await read(storage, url)
    with pytest.raises(SpecError, match="WDS_SECURE is set"):
        blocking_output(url, {})
    await storage.aclose()


async def test_only_the_schemes_that_are_allowed(server: FaultServer) -> None:
    server.put("a.tar", b"abc")
    storage = open_storage(Access(Http(trust_env=False), Retry()), Counters())
    assert (await read(storage, server.url("a.tar")))[1] == b"abc"
    enforce_security(schemes=("https", "s3"))
    with pytest.raises(SpecError, match="WDS_SCHEMES allows only https:s3") as caught:
        await read(storage, server.url("a.tar"))
    assert caught.value.url == server.url("a.tar")
    await storage.aclose()
    with pytest.raises(SpecError, match="WDS_SCHEMES allows only"):
        blocking_output("http://host/a.tar", {})


@pytest.mark.parametrize("url", ["FILE:a.tar", "File:a.tar", "./a.tar", "sub/../a.tar", "PIPE:cat a.tar", "Pipe:cat a.tar"])
def test_no_spelling_gets_around_it(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(1)))
    monkeypatch.chdir(tmp_path)

    def read_it() -> None:
        with wds.gopen(url) as file:
            file.read()

    for use in (lambda: list(wds.WebDataset(url)), read_it, lambda: wds.TarWriter(f"{url}.new").close()):
        enforce_security()
        with pytest.raises(SpecError, match="WDS_SECURE is set"):
            use()
        enforce_security(False)
        with suppress(FetchError):  # `cat a.tar.new` takes nothing
            use()


@pytest.mark.parametrize("url", ["sftp://h/a.tar", "scp://h/a.tar", "memory://a", "simplecache::memory://a", "local:/a.tar"])
def test_nothing_else_is_opened_by_programs_or_fsspec(url: str) -> None:
    for use in (lambda: list(wds.WebDataset(url)), lambda: wds.gopen(url).read()):
        with pytest.raises(SpecError):
            use()


def test_local_files_are_not_read_to_find_out_what_to_read(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("http://host/a.tar")
    (tmp_path / "spec.yaml").write_text("datasets: [{shards: a.tar}]")
    for urls in (f"@{tmp_path}/list.txt", f"{tmp_path}/spec.yaml", f"{tmp_path}/*.txt"):
        with pytest.raises(SpecError, match="WDS_SECURE is set"):
            wds.WebDataset(urls)


def test_a_folder_of_shards_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(1)))
    with pytest.raises(SpecError, match="WDS_SECURE is set"):
        list(wds.WebDataset(f"{tmp_path}/"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


async def test_a_redirect_does_not_leave_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with FaultServer({"a.tar": b"abc"}) as plain, FaultServer({}, ssl_context=tls) as front:
        front.add(Fault(redirect_to=plain.url("a.tar")))
        storage = open_storage(Access(Http(trust_env=False, ca_file=str(tmp_path / "ca.pem")), Retry()), Counters())
        with pytest.raises(FetchError, match="from https to http") as caught:
            await read(storage, front.url("a.tar"))
        assert (caught.value.url, plain.counters.requests) == (front.url("a.tar"), 0)
        enforce_security(False)
        assert (await read(storage, front.url("a.tar")))[1] == b"abc"
        await storage.aclose()


def test_switched_off_it_refuses_nothing() -> None:
    enforce_security(schemes=("https",))
    enforce_security(False)
    assert [why_refused(scheme) for scheme in ("file", "pipe", "http")] == [None] * 3
