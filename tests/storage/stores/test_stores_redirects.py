"""Where a store redirects to another host, nothing that says who asks goes along."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from webapps import ranged, serve

from asyncwds import GCS, AIStore, Azure, Http, HuggingFace, Retry
from asyncwds.errors import AccessError
from asyncwds.runtime import Counters
from asyncwds.settings import Access, Settings
from asyncwds.storage import open_storage
from asyncwds.testing import read

DATA = b"0123456789" * 100
IN_AN_HOUR = time.time() + 3600


@dataclass
class Hosts:
    """One that redirects whoever shows the secret to the other, which has the data."""

    store: str = ""
    elsewhere: str = ""
    status: int = 307
    seen: list[dict[str, str]] = field(default_factory=list)

    async def redirect(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization", "") + request.query_string
        if "secret" not in shown and "SharedKey" not in shown:
            return web.Response(status=401)
        return web.Response(status=self.status, headers={"Location": f"{self.elsewhere}/object?signature=theirs"})

    async def deliver(self, request: web.Request) -> web.Response:
        self.seen.append(dict(request.headers) | {"url": str(request.url)})
        return ranged(request, DATA, {"ETag": '"e"'})


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    started = Hosts()
    with serve(started.redirect, started.deliver) as (started.store, started.elsewhere):
        yield started


def settings(scheme: str, store: str) -> Settings:
    match scheme:
        case "gs":
            return GCS(endpoint=store, get_token=lambda: ("secret", IN_AN_HOUR), user_project="payer")
        case "az":
            return Azure(endpoint=f"{store}/me", get_token=lambda: ("secret", IN_AN_HOUR))
        case "abfs":
            return Azure(endpoint=f"{store}/me", account_key="c2VjcmV0")
        case "abfss":
            return Azure(endpoint=f"{store}/me", sas_token="sv=1&sig=secret")
        case "ais":
            return AIStore(endpoint=store, token="secret")
        case _:
            return HuggingFace(endpoint=store, token="secret")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["gs", "az", "abfs", "abfss", "ais", "hf"])
async def test_fault_07_nothing_goes_along(hosts: Hosts, scheme: str, status: int) -> None:
    hosts.status = status
    url = f"{scheme}://datasets/u/n/a.tar"
    retry = Retry(tries=1, hedge=None)
    fetcher = open_storage(Access(Http(trust_env=False), retry, {f"{scheme}://": settings(scheme, hosts.store)}), Counters())
    assert (await read(fetcher, url, 10, 20))[1] == DATA[10:20]
    await fetcher.aclose()
    (seen,) = hosts.seen
    assert seen["Range"] == "bytes=10-19"
    assert not [name for name in seen if name.lower().startswith(("authorization", "x-ms-", "x-goog-"))]
    assert "secret" not in str(seen)
    assert seen["url"] == f"{hosts.elsewhere}/object?signature=theirs"


async def test_the_secret_is_wanted_by_the_first(hosts: Hosts) -> None:
    access = Access(Http(trust_env=False), Retry(tries=1), {"gs://": GCS(endpoint=hosts.store, anonymous=True)})
    fetcher = open_storage(access, Counters())
    with pytest.raises(AccessError):
        await read(fetcher, "gs://b/a.tar")
    await fetcher.aclose()


@pytest.mark.parametrize("scheme", ["gs", "az", "ais", "hf"])
async def test_logins_for_web_servers_are_none_for_stores(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for those that are read without credentials, and not for hosts that they redirect to."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        if "moved" in request.path:
            return ranged(request, DATA, {"ETag": '"e"'})
        return web.Response(status=307, headers={"Location": f"{elsewhere}/moved"})

    with serve(handler, handler) as (store, elsewhere):
        stores: dict[str, Settings] = {
            "gs": GCS(endpoint=store, anonymous=True),
            "az": Azure(endpoint=f"{store}/me", anonymous=True),
            "ais": AIStore(endpoint=store),
            "hf": HuggingFace(endpoint=store, anonymous=True),
        }
        fetcher = open_storage(Access(Http(), Retry(tries=1, hedge=None), {f"{scheme}://": stores[scheme]}), Counters())
        assert (await read(fetcher, f"{scheme}://datasets/u/n/a.tar"))[1] == DATA
        await fetcher.aclose()
    assert len(seen) >= 2
    assert set(seen) == {None}
