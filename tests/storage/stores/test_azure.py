"""`az://` and `abfs://` against azurite: keys, SAS, access tokens over TLS, and what the library of the vendor signs."""

import base64
import json
import pickle
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import store_access
from aiohttp import web
from azurite import ACCOUNT, KEY, Azurite, run_azurite
from store_access import DATA, PART, PLAIN, QUICK, read_in_parts
from webapps import serve

import asyncwds as wds
from asyncwds import Azure, Http
from asyncwds.errors import AccessError, ChangedError, FetchError, NotFoundError, SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import AzureStore, StoreRequest, StoreResponse, Transport
from asyncwds.storage.stores.azure.auth import Login, login, shared_key
from asyncwds.storage.stores.azure.store import ObjectAddress, endpoint_url, parse_address
from asyncwds.testing import CHECKS, make_samples, make_shard, read

fetching = partial(store_access.fetching, ("az://", "abfss://"))
listed = partial(store_access.listed, AzureStore)
upload = partial(store_access.upload, AzureStore)
VARIABLES = ("ACCOUNT_NAME", "ACCOUNT_KEY", "KEY", "SAS_TOKEN", "CONNECTION_STRING")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with run_azurite(tmp_path_factory.mktemp("azurite")) as started:
        yield started


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)


@pytest.fixture
def container(server: Azurite, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", server.connection_string)
    name = f"c{uuid.uuid4().hex}"
    server.create(name)
    server.put(name, "a.tar", DATA)
    return name


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(server: Azurite, container: str, check: Callable) -> None:
    async with fetching() as fetcher:
        await check(fetcher, lambda name, data: server.put(container, name, data))


ODD = ["ü/ä ö.tar", "a+b&c=d?e#f.tar", "100%.tar", "a%20b%2Fc.tar", "x/[y]/z.tar", "~.tar", "!'()*;:@,$.tar"]


@pytest.mark.parametrize("blob", ODD)
async def test_names_with_any_characters(server: Azurite, container: str, blob: str) -> None:
    url = server.put(container, blob, DATA)
    async with fetching() as fetcher:
        assert (await read(fetcher, url, 7, 99))[1] == DATA[7:99]
    assert await listed(Azure(), url, deep=True) == [url]


async def test_fault_14_a_replaced_blob_is_refused_by_the_service(server: Azurite, container: str) -> None:
    async with fetching() as fetcher:
        url = f"az://{container}/a.tar"
        answer, _ = await read(fetcher, url, 0, PART)
        assert await read_in_parts(fetcher, url, answer.identity) == DATA
        server.put(container, "a.tar", DATA)
        with pytest.raises(ChangedError) as caught:
            await read(fetcher, url, PART, 2 * PART, answer.identity)
    assert (caught.value.status, caught.value.url, caught.value.offset) == (412, url, PART)


async def test_account_and_key_from_the_environment(server: Azurite, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    async with fetching(Azure(endpoint=server.endpoint)) as fetcher:
        assert await read_in_parts(fetcher, f"abfss://{container}/a.tar") == DATA


@pytest.mark.needs("azure.storage.blob")
async def test_shared_access_signatures(server: Azurite, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    def sas(minutes: int) -> str:
        end = datetime.now(UTC) + timedelta(minutes=minutes)
        permission = ContainerSasPermissions(read=True, list=True)
        return generate_container_sas(ACCOUNT, container, account_key=KEY, permission=permission, expiry=end)

    url = f"az://{container}/a.tar"
    async with fetching(Azure(endpoint=server.endpoint, sas_token="?" + sas(10))) as fetcher:
        assert await read_in_parts(fetcher, url) == DATA
    assert await listed(Azure(endpoint=server.endpoint, sas_token=sas(10)), f"az://{container}/", deep=True) == [url]
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", sas(-10))
    async with fetching(Azure(endpoint=server.endpoint)) as fetcher:
        with pytest.raises(AccessError) as caught:
            await read(fetcher, url)
    assert caught.value.status == 403
    assert sas(-10).partition("sig=")[2] not in f"{caught.value!r}{caught.value.__dict__}"


async def test_public_containers_without_credentials(server: Azurite) -> None:
    name = f"c{uuid.uuid4().hex}"
    server.create(name, public=True)
    url = server.put(name, "a.tar", DATA)
    async with fetching(Azure(endpoint=server.endpoint, anonymous=True)) as fetcher:
        assert await read_in_parts(fetcher, url) == DATA


async def test_fault_05_wrong_keys_and_private_containers(server: Azurite, container: str) -> None:
    url = f"az://{container}/a.tar"
    wrong = base64.b64encode(b"not the key of this account").decode()
    async with fetching(Azure(endpoint=server.endpoint, account_key=wrong)) as fetcher:
        with pytest.raises(AccessError, match="AuthorizationFailure|AuthenticationFailed") as caught:
            await read(fetcher, url)
    assert (caught.value.status, caught.value.url) == (403, url)
    assert wrong not in f"{caught.value!r}{caught.value.__dict__}"
    async with fetching(Azure(endpoint=server.endpoint, anonymous=True)) as fetcher:
        with pytest.raises(FetchError, match="without credentials"):
            await read(fetcher, url)


def access_token(seconds: float) -> tuple[str, float]:
    """As azurite takes it: it knows no signatures."""
    end = int(time.time() + seconds)
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "nbf": 0,
        "iat": 0,
        "exp": end,
    }
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none", "typ": "JWT"}, claims)
    ]
    return ".".join([*parts, "c2ln"]), end


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with run_azurite(tmp_path_factory.mktemp("azurite-tls"), tls=True) as started:
        started.create("tls")
        started.put("tls", "a.tar", DATA)
        yield started


async def test_access_tokens_of_a_function(tls_server: Azurite) -> None:
    settings = Azure(endpoint=tls_server.endpoint, get_token=lambda: access_token(3600))
    async with fetching(settings, http=Http(trust_env=False, ca_file=tls_server.ca_file)) as fetcher:
        assert await read_in_parts(fetcher, "az://tls/a.tar") == DATA


async def test_fault_05_an_access_token_that_has_ended_is_taken_anew(tls_server: Azurite) -> None:
    ended, end = access_token(-60)
    tokens = iter([(ended, end + 7200), access_token(3600)])
    counters = Counters()
    settings = Azure(endpoint=tls_server.endpoint, get_token=lambda: next(tokens))
    async with fetching(settings, http=Http(trust_env=False, ca_file=tls_server.ca_file), counters=counters) as fetcher:
        assert (await read(fetcher, "az://tls/a.tar"))[1] == DATA
    assert (counters.requests, counters.retries) == (2, 0)


@pytest.mark.needs("azure.identity")
async def test_access_tokens_of_a_managed_identity(tls_server: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on App Service, whose address and secret are in the environment."""
    asked = []

    async def identity(request: web.Request) -> web.Response:
        asked.append((request.headers["X-IDENTITY-HEADER"], request.query["resource"]))
        token, end = access_token(3600)
        return web.json_response({"access_token": token, "expires_on": str(end), "token_type": "Bearer", "resource": "r"})

    with serve(identity) as (origin,):
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{origin}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        settings = Azure(endpoint=tls_server.endpoint)
        async with fetching(settings, http=Http(trust_env=False, ca_file=tls_server.ca_file)) as fetcher:
            assert await read_in_parts(fetcher, "az://tls/a.tar") == DATA
    assert asked == [("secret", "https://storage.azure.com")]


@pytest.mark.needs("azure.identity")
async def test_without_credentials_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(request: web.Request) -> web.Response:
        return web.json_response({"error": "none"}, status=400)

    with serve(refuses) as (origin,):
        monkeypatch.setenv("IDENTITY_ENDPOINT", origin)
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        monkeypatch.setenv("PATH", "")  # neither az nor pwsh
        async with fetching(Azure(account="someone")) as fetcher:
            with pytest.raises(AccessError, match="anonymous=True"):
                await read(fetcher, "az://c/a.tar")


async def test_without_azure_identity_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    async with fetching(Azure(account="someone")) as fetcher:
        with pytest.raises(SpecError, match=r"asyncwds\[azure\]"):
            await read(fetcher, "az://c/a.tar")


async def test_listings(server: Azurite, container: str) -> None:
    names = [f"train/{number:04}.tar" for number in range(60)] + ["train/sub/x.tar"]
    for name in names:
        server.put(container, name, b"")
    root = f"az://{container}/"
    assert await listed(Azure(), f"{root}train/", deep=True) == [root + name for name in names]
    assert await listed(Azure(), f"{root}train/000", deep=False) == [root + name for name in names[:10]]
    assert await listed(Azure(), root, deep=False) == [f"{root}a.tar", f"{root}train/"]
    assert f"{root}train/sub/" in await listed(Azure(), f"{root}train/", deep=False)
    with pytest.raises(NotFoundError):
        await listed(Azure(), "az://nosuchcontainer/", deep=True)


async def test_pages_of_a_listing_and_what_they_hold_besides_blobs() -> None:
    """Names that XML cannot hold, and the folders of accounts that have real ones; azurite has neither."""
    pages = {
        None: "<Blob><Name>a.tar</Name></Blob><Blob><Name Encoded='true'>b%EF%BF%BE.tar</Name></Blob>",
        "2": "<Blob><Name>d</Name><Properties><ResourceType>directory</ResourceType></Properties></Blob>"
        "<Blob><Name>d/c.tar</Name></Blob>",
    }

    async def answer(request: web.Request) -> web.Response:
        marker = request.query.get("marker")
        following = "2" if marker is None else ""
        return web.Response(
            text=f"<EnumerationResults><Blobs>{pages[marker]}</Blobs><NextMarker>{following}</NextMarker></EnumerationResults>"
        )

    with serve(answer) as (origin,):
        settings = Azure(endpoint=f"{origin}/me", anonymous=True)
        assert await listed(settings, "az://c/", deep=True) == ["az://c/a.tar", "az://c/b\ufffe.tar", "az://c/d/c.tar"]


@pytest.mark.parametrize("size", [0, PART, PART + 1, len(DATA)])
async def test_uploads(server: Azurite, container: str, size: int) -> None:
    await upload(Azure(part_bytes=PART), f"az://{container}/ü 1?.tar", DATA[:size])
    assert server.get(container, "ü 1?.tar") == DATA[:size]


async def test_an_upload_that_is_aborted_is_not_seen(server: Azurite, container: str) -> None:
    await upload(Azure(part_bytes=PART), f"az://{container}/new.tar", DATA, commit=False)
    await upload(Azure(part_bytes=PART), f"az://{container}/a.tar", DATA[::-1], commit=False)
    assert await listed(Azure(), f"az://{container}/", deep=True) == [f"az://{container}/a.tar"]
    assert server.get(container, "a.tar") == DATA


async def test_uploads_that_are_refused(server: Azurite, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="names no blob"):
        await upload(Azure(part_bytes=PART), f"az://{container}/", b"")
    with pytest.raises(NotFoundError):
        await upload(Azure(part_bytes=PART), "az://nosuchcontainer/a.tar", DATA)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", server.connection_string.replace(KEY, KEY[:40] + KEY[40:].swapcase()))
    with pytest.raises(AccessError):
        await upload(Azure(part_bytes=PART), f"az://{container}/new.tar", DATA)
    assert server.names(container) == ["a.tar"]


def test_shards_are_written_and_read_again(container: str) -> None:
    with wds.ShardWriter(f"az://{container}/out-%02d.tar", maxcount=5, storage=Azure(part_bytes=2000), verbose=0) as writer:
        for sample in make_samples(12):
            writer.write(sample)
    ds = wds.WebDataset(f"az://{container}/out-*.tar")
    assert [sample["__key__"] for sample in ds] == [f"{index:06}" for index in range(12)]


def test_urls() -> None:
    assert parse_address("az://c/x/y.tar") == ObjectAddress(None, None, "c", "x/y.tar")
    assert parse_address("abfss://c@acc.dfs.core.windows.net/x@y.tar") == ObjectAddress("acc", "core.windows.net", "c", "x@y.tar")
    assert parse_address("abfs://c@acc.blob.core.chinacloudapi.cn/x") == ObjectAddress("acc", "core.chinacloudapi.cn", "c", "x")
    for wrong in ("az:///x", "abfss://c@/x", "abfss://c@acc/x"):
        with pytest.raises(SpecError):
            parse_address(wrong)


def where(url: str, **known: str | None) -> str:
    given = {"account": None, "endpoint": None, "suffix": "core.windows.net", "way": "key", "secret": KEY} | known
    return endpoint_url(url, parse_address(url), Login(**given))


def test_addresses() -> None:
    assert where("az://c/x y", account="acc") == "https://acc.blob.core.windows.net/c/x%20y"
    assert where("az://c/", endpoint="http://h/acc") == "http://h/acc/c"
    named = "abfss://c@acc.dfs.core.windows.net/x"
    assert where(named) == "https://acc.blob.core.windows.net/c/x"
    assert where(named, account="other", way="token") == "https://acc.blob.core.windows.net/c/x"
    assert where(named, account="acc", endpoint="http://h/acc") == "http://h/acc/c/x"
    for wrong, account in ((named, "other"), ("az://c/x", None)):
        with pytest.raises(SpecError, match="account"):
            where(wrong, account=account)


def found(settings: Azure) -> Login:
    return login(settings).value


def test_where_settings_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=core.usgovcloudapi.net"
    gov = Login("acc", "https://acc.blob.core.usgovcloudapi.net", "core.usgovcloudapi.net", "key", "a2V5==")
    assert found(Azure(connection_string=text)) == gov
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    assert found(Azure()) == gov
    assert found(Azure(sas_token="?sv=1&sig=x")) == gov._replace(way="sas", secret="sv=1&sig=x")
    assert found(Azure(account="other", anonymous=True)) == Login("other", None, "core.windows.net", "anonymous")
    sas = "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=2&sig=y%3D"
    assert found(Azure(connection_string=sas)) == Login(
        "acc", "https://acc.blob.core.windows.net", "core.windows.net", "sas", "sv=2&sig=y%3D"
    )
    assert found(Azure(connection_string="UseDevelopmentStorage=true")).account == ACCOUNT
    for wrong in (Azure(connection_string="nonsense"), Azure(endpoint="ftp://x", account_key=KEY)):
        with pytest.raises(SpecError) as caught:
            login(wrong)
        assert "nonsense" not in str(caught.value)


def test_a_key_that_is_no_base64() -> None:
    with pytest.raises(SpecError, match="base64") as caught:
        shared_key("acc", "nötbase64", "GET", "http://h/c/b", {})
    assert "nötbase64" not in str(caught.value)


@pytest.mark.needs("azure.storage.blob")
@pytest.mark.parametrize(
    "path", ["c/a.tar", "c/%C3%BC%20%2B%25.tar", "c?restype=container&comp=list&prefix=a%2Fb%26c&delimiter=%2F"]
)
def test_shared_key_is_what_the_vendors_library_signs(path: str) -> None:
    from azure.core.pipeline import PipelineContext, PipelineRequest
    from azure.core.pipeline.transport import HttpRequest
    from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy

    url = f"http://127.0.0.1/{ACCOUNT}/{path}"
    headers = {
        "x-ms-version": "2021-12-02",
        "x-ms-date": "Tue, 24 Nov 2026 15:33:15 GMT",
        "x-ms-range": "bytes=0-9",
        "If-Match": '"e"',
    }
    request = PipelineRequest(HttpRequest("GET", url, headers), PipelineContext(None))
    SharedKeyCredentialPolicy(ACCOUNT, KEY).on_request(request)
    assert shared_key(ACCOUNT, KEY, "GET", url, headers) == request.http_request.headers["Authorization"]


def test_an_account_without_public_access_is_an_access_error() -> None:
    store = AzureStore(Azure(anonymous=True), Transport(Access(PLAIN, QUICK), Counters()))
    page = b"<Error><Code>PublicAccessNotPermitted</Code><Message>Public access is not permitted on this account.</Message></Error>"
    error = store.error_for(StoreRequest("GET", "az://c/b"), StoreResponse(409, {}, page))
    assert isinstance(error, AccessError)
    assert "Public access is not permitted" in str(error)


def test_secrets_are_neither_shown_nor_pickled() -> None:
    for name, value in (("account_key", KEY), ("sas_token", "sig=secret"), ("connection_string", "AccountKey=secret")):
        settings = Azure(**{name: value})
        assert "secret" not in repr(settings)
        assert KEY not in repr(settings)
        with pytest.raises(SpecError, match="not pickled"):
            pickle.dumps(settings)
    assert pickle.loads(pickle.dumps(Azure(account="a"))) == Azure(account="a")
    assert KEY not in repr(Login(ACCOUNT, None, "", "key", KEY))
    for wrong in ({"account_key": KEY, "anonymous": True}, {"part_bytes": 0}):
        with pytest.raises(SpecError):
            Azure(**wrong)


async def test_samples_by_a_pattern(server: Azurite, container: str) -> None:
    server.put(container, "set/0.tar", make_shard(make_samples(6)))
    server.put(container, "set/1.tar", make_shard(make_samples(6, prefix="b")))
    ds = wds.WebDataset(f"az://{container}/set/*.tar", prefetch=2)
    assert [sample["__key__"] async for sample in ds] == [sample["__key__"] for sample in ds]
    assert ds.stats().samples == 12
