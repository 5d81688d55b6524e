"""The secure mode: what may be opened and written to."""

from pathlib import Path

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.model import Http, Retry
from asyncwds.security import enforce_security, refused
from asyncwds.stats import Counters
from asyncwds.storage.registry import open_storage
from asyncwds.storage.sinks import blocking_output
from asyncwds.testing import FaultServer, read


@pytest.fixture(autouse=True)
def secure(monkeypatch) -> None:
    for name in ("WDS_SECURE", "WDS_SCHEMES"):
        monkeypatch.setenv(name, "")  # so that it is taken back
    enforce_security()


@pytest.mark.parametrize("url", ["/a.tar", "a.tar", "file:a.tar", "pipe:cat a.tar"])
async def test_local_files_and_commands_are_refused(url: str) -> None:
    storage = open_storage(Http(), Retry(), Counters())
    with pytest.raises(SpecError, match="WDS_SECURE is set"):
        await read(storage, url)
    with pytest.raises(SpecError, match="WDS_SECURE is set"):
        blocking_output(url, {})
    await storage.aclose()


async def test_only_the_schemes_that_are_allowed(server: FaultServer) -> None:
    server.put("a.tar", b"abc")
    storage = open_storage(Http(trust_env=False), Retry(), Counters())
    assert (await read(storage, server.url("a.tar")))[1] == b"abc"
    enforce_security(schemes=("https", "s3"))
    with pytest.raises(SpecError, match="WDS_SCHEMES allows only https:s3") as caught:
        await read(storage, server.url("a.tar"))
    assert caught.value.url == server.url("a.tar")
    await storage.aclose()
    with pytest.raises(SpecError, match="WDS_SCHEMES allows only"):
        blocking_output("http://host/a.tar", {})


def test_lists_specs_and_folders_of_shards_are_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("https://host/a.tar")
    (tmp_path / "spec.yaml").write_text("datasets: [{shards: a.tar}]")
    (tmp_path / "a.tar").touch()
    for urls in (f"@{tmp_path}/list.txt", f"{tmp_path}/spec.yaml", f"{tmp_path}/"):
        with pytest.raises(SpecError, match="WDS_SECURE is set"):
            next(iter(wds.WebDataset(urls)))
    assert (tmp_path / "a.tar").exists()


def test_switched_off_it_refuses_nothing() -> None:
    enforce_security(schemes=("https",))
    enforce_security(False)
    assert [refused(scheme) for scheme in ("file", "pipe", "http")] == [None] * 3
