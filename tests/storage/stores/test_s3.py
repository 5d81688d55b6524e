"""s3:// against a real SeaweedFS and a real JuiceFS gateway."""

import asyncio
import base64
import math
import os
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from objectstore import ADMIN, NOBODY, READER, Identity, ObjectStore
from webapps import serve

from asyncwds import S3, Cache, Http, Prefetch, Retry, WebDataset
from asyncwds.compat.download_to_cache import keep
from asyncwds.errors import AccessError, ChangedError, ChecksumError, FetchError, NotFoundError, SpecError, ThrottledError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import Fetcher, HttpFetcher, S3Store, Transport, digest_for, open_storage
from asyncwds.storage.stores.s3.store import stated_checksum
from asyncwds.testing import CHECKS, ForwardProxy, leaks, make_samples, make_shard, read

DATA = random.Random(4).randbytes(400_000)
pytestmark = pytest.mark.needs("botocore")
PART = 65_536
QUICK = Retry(tries=4, backoff=0.01, backoff_max=0.05)


@pytest.fixture(params=["seaweedfs", "juicefs"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    found: ObjectStore = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def prefix() -> str:
    """A folder of its own for each test."""
    return uuid.uuid4().hex


@asynccontextmanager
async def open_s3(
    settings: S3 | None = None, counters: Counters | None = None, retry: Retry = QUICK, http: Http | None = None
) -> AsyncIterator[Fetcher]:
    storage = {} if settings is None else {"s3://": settings}
    fetcher = open_storage(Access(http or Http(), retry, storage or {}), counters or Counters())
    async with leaks():
        yield fetcher
        await fetcher.aclose()


async def refused(kind: type[FetchError], url: str, settings: S3 | None, retry: Retry = QUICK, http: Http | None = None) -> Any:
    """The error, and how many requests it took."""
    counters = Counters()
    async with open_s3(settings, counters, retry, http) as fetcher:
        with pytest.raises(kind) as caught:
            await read(fetcher, url)
    assert caught.value.url == url
    return caught.value, counters.requests


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(store: ObjectStore, prefix: str, check: Callable) -> None:
    async with open_s3(store.settings()) as fetcher:
        await check(fetcher, lambda name, data: store.put(f"{prefix}/{name}", data))


KEYS = [
    "a b",
    "a+b",
    "a%41",
    "%2F",
    "a?b=c",
    "a#b",
    "é€😀",
    "a&b;c=d,e",
    "'\"<>",
    "a:b@c",
    "a*b",
    "a(b)!",
    "$a~b",
    "[a]{b}",
    "\\a|^`",
]


@pytest.mark.parametrize("key", KEYS)
async def test_keys_with_any_character(store: ObjectStore, prefix: str, key: str) -> None:
    url = store.put(f"{prefix}/{key}.tar", DATA[:1000])
    async with open_s3(store.settings()) as fetcher:
        assert (await read(fetcher, url, 10, 20))[1] == DATA[10:20]


async def test_keys_with_empty_names_in_them(seaweedfs: ObjectStore, prefix: str) -> None:
    url = seaweedfs.put(f"{prefix}//a///b", DATA[:1000])
    async with open_s3(seaweedfs.settings()) as fetcher:
        assert (await read(fetcher, url, 10, 20))[1] == DATA[10:20]


async def test_parts_are_pinned_to_the_object_that_was_seen_first(store: ObjectStore, prefix: str) -> None:
    url = store.put(f"{prefix}/a", DATA)
    async with open_s3(store.settings()) as fetcher:
        answer, _ = await read(fetcher, url, 0, PART)
        assert (answer.total, answer.ranged) == (len(DATA), True)
        starts = range(0, len(DATA), PART)
        parts = await asyncio.gather(*(read(fetcher, url, start, start + PART, answer.identity) for start in starts))
        assert b"".join(data for _, data in parts) == DATA
        store.put(f"{prefix}/a", DATA[::-1])
        with pytest.raises(ChangedError) as caught:
            await read(fetcher, url, PART, 2 * PART, answer.identity)
    assert (caught.value.url, caught.value.offset) == (url, PART)


def test_fault_14_a_shard_that_is_replaced_while_it_is_read_is_refused(store: ObjectStore, prefix: str) -> None:
    url = store.put(f"{prefix}/a.tar", make_shard(make_samples(100, size=10_000, seed=1)))
    prefetch = Prefetch(connections=1, part_bytes=PART, buffer_bytes=8 * PART)
    samples = iter(WebDataset(url, storage=store.settings(), prefetch=prefetch))
    next(samples)
    store.put(f"{prefix}/a.tar", make_shard(make_samples(100, size=10_000, seed=2)))
    with pytest.raises(ChangedError) as caught:
        list(samples)
    assert caught.value.url == url


@pytest.mark.parametrize(
    ("identity", "code"),
    [(Identity(ADMIN.access_key, "wrong"), "SignatureDoesNotMatch"), (NOBODY, "InvalidAccessKeyId")],
    ids=["secret", "key"],
)
async def test_fault_05_credentials_that_are_wrong(store: ObjectStore, prefix: str, identity: Identity, code: str) -> None:
    url = store.put(f"{prefix}/a", DATA)
    error, requests = await refused(AccessError, url, store.settings(identity))
    assert error.status == 403
    assert code in str(error)
    assert requests == 1, "there are no other credentials to try"


async def test_fault_05_a_token_that_means_nothing(store: ObjectStore, prefix: str) -> None:
    url = store.put(f"{prefix}/a", DATA)
    error, _ = await refused(AccessError, url, store.settings(session_token="no-such-token"))
    assert "no-such-token" not in repr(error) + str(error)


async def test_without_credentials(seaweedfs: ObjectStore, prefix: str) -> None:
    anonymous = S3(endpoint=seaweedfs.url, anonymous=True)
    await refused(AccessError, seaweedfs.put(f"{prefix}/a", DATA), anonymous)
    async with open_s3(anonymous) as fetcher:
        assert (await read(fetcher, seaweedfs.put(f"{prefix}/a", DATA, "public")))[1] == DATA


async def test_a_reader_may_read_and_list_and_not_write(seaweedfs: ObjectStore, prefix: str) -> None:
    url = seaweedfs.put(f"{prefix}/a.tar", DATA)
    async with open_s3(seaweedfs.settings(READER)) as fetcher:
        assert (await read(fetcher, url))[1] == DATA
    # The rest is in test_listing.py and test_s3_upload.py.


@pytest.mark.parametrize("hours", [-25, -1, 1])
async def test_fault_33_a_clock_that_is_wrong(
    store: ObjectStore, prefix: str, hours: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The service says what time it is; from then on requests are signed by its clock."""
    url = store.put(f"{prefix}/a", DATA)
    counters = Counters()

    def make_store(transport: Transport) -> S3Store:
        return S3Store(store.settings(), transport, now=lambda: time.time() + 3600 * hours)

    async with leaks():
        fetcher = HttpFetcher(Access(Http(), QUICK), counters, make_store)
        assert (await read(fetcher, url))[1] == DATA
        assert counters.requests == 2
        assert (await read(fetcher, url, 10, 20))[1] == DATA[10:20]
        assert counters.requests == 3
        await fetcher.aclose()
    assert ["clocks differ" in message for message in caplog.messages] == [True]


async def test_objects_and_buckets_that_are_not_there(store: ObjectStore, prefix: str) -> None:
    for url, code in ((f"s3://{store.bucket}/{prefix}/none", "NoSuchKey"), (f"s3://none-{prefix}/a", "NoSuchBucket")):
        error, requests = await refused(NotFoundError, url, store.settings())
        assert (error.status, requests) == (404, 1)
        assert code in str(error)


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///key", "s3://arn:aws:s3:eu-north-1:1:accesspoint/a/key", "s3:bucket/key", "s3://bucket", "s3://bucket/"]
)
async def test_urls_that_name_no_object(url: str) -> None:
    async with open_s3(S3(endpoint="http://127.0.0.1:1", anonymous=True)) as fetcher:
        with pytest.raises(SpecError) as caught:
            await read(fetcher, url)
    assert caught.value.url == url


async def test_fault_02_tls_and_the_authorities_of_the_vendors_variable(
    seaweedfs: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = seaweedfs.put(f"{prefix}/a", DATA)
    settings = S3(endpoint=seaweedfs.tls_url, access_key=READER.access_key, secret_key=READER.secret_key)
    error, _ = await refused(FetchError, url, settings)
    assert "certificate" in str(error)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(seaweedfs.ca_file))
    async with open_s3(settings) as fetcher:
        assert (await read(fetcher, url, 100_000, 300_000, lent=200_000))[1] == DATA[100_000:300_000]
    async with open_s3(settings, http=Http(ca_file=__file__)) as fetcher:
        with pytest.raises(SpecError, match="ca_file"):  # which goes before the variable
            await read(fetcher, url)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_buckets_as_host_names_through_a_proxy(seaweedfs: ObjectStore, prefix: str, scheme: str) -> None:
    url = seaweedfs.put(f"{prefix}/a", DATA)
    origin = seaweedfs.url if scheme == "http" else seaweedfs.tls_url
    port = origin.rpartition(":")[2]
    settings = S3(
        endpoint=f"{scheme}://s3.test:{port}", access_key=READER.access_key, secret_key=READER.secret_key, addressing="virtual"
    )
    with ForwardProxy(hosts={"shards.s3.test": f"127.0.0.1:{port}"}) as proxy:
        async with open_s3(settings, http=Http(proxy=proxy.url, ca_file=str(seaweedfs.ca_file))) as fetcher:
            assert (await read(fetcher, url, 10, 20))[1] == DATA[10:20]
    assert {request.headers["host"] for request in proxy.requests} == {f"shards.s3.test:{port}"}


# -- presigned URLs, which are plain http


@pytest.fixture
def presigned(store: ObjectStore, prefix: str) -> Iterator[Callable[[int], str]]:
    store.put(f"{prefix}/a.tar", DATA)

    def make(seconds: int) -> str:
        params = {"Bucket": store.bucket, "Key": f"{prefix}/a.tar"}
        url: str = store.client.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)
        return url

    return make


async def test_presigned_urls(presigned: Callable[[int], str]) -> None:
    async with open_s3() as fetcher:
        assert (await read(fetcher, presigned(60), 10, 20))[1] == DATA[10:20]


async def test_fault_05_presigned_urls_that_have_ended_or_were_changed(presigned: Callable[[int], str]) -> None:
    ended, sound = presigned(1), presigned(60)
    await asyncio.sleep(2.1)
    for url in (ended, sound.replace("a.tar", "b.tar"), sound[:-1] + ("0" if sound[-1] != "0" else "1")):
        async with open_s3() as fetcher:
            with pytest.raises(AccessError) as caught:
                await read(fetcher, url)
        assert caught.value.status == 403
        for secret in (url.rpartition("Signature=")[2], ADMIN.access_key):
            assert secret not in f"{caught.value} {caught.value!r} {caught.value.url}"


# -- too many requests


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A gateway that has no time for more than two requests at once."""
    from juicefs import run_juicefs  # needs botocore

    with run_juicefs(tmp_path_factory.mktemp("busy"), requests_at_once=2) as store:
        yield store


async def test_fault_03_requests_beyond_what_the_gateway_can_do(busy: ObjectStore, prefix: str) -> None:
    url = busy.put(f"{prefix}/a", DATA * 10)
    counters = Counters()
    retry = Retry(tries=20, backoff=0.02, backoff_max=0.2, retry_after_max=0.1, hedge=None)
    async with open_s3(busy.settings(verify=False), counters, retry) as fetcher:
        for _ in range(20):
            starts = range(0, 10 * len(DATA), 4 * PART)
            answers = await asyncio.gather(*(read(fetcher, url, start, start + 4 * PART) for start in starts))
            assert b"".join(data for _, data in answers) == DATA * 10
            if counters.throttled:
                break
    # It asks for a pause of two minutes, which would be over after the time limit of this test.
    assert counters.throttled == counters.retries > 0


async def test_fault_03_what_it_says(busy: ObjectStore, prefix: str) -> None:
    url = busy.put(f"{prefix}/a", DATA * 10)
    errors: list[ThrottledError] = []
    async with open_s3(busy.settings(), retry=Retry(tries=1, hedge=None)) as fetcher:

        async def once() -> None:
            try:
                await read(fetcher, url)
            except ThrottledError as error:
                errors.append(error)

        while not errors:
            await asyncio.gather(*(once() for _ in range(32)))
    assert (errors[0].status, errors[0].retry_after, errors[0].url) == (503, 120, url)
    assert "SlowDown" in str(errors[0])


# -- the environment of a user


async def test_all_of_it_from_the_environment(seaweedfs: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = seaweedfs.put(f"{prefix}/a.tar", make_shard(make_samples(5, size=1000)))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweedfs.url)
    samples = list(WebDataset(url))
    assert len(samples) == 5
    assert {sample["__url__"] for sample in samples} == {url}


async def test_several_settings_at_once(seaweedfs: ObjectStore, juicefs: ObjectStore, prefix: str) -> None:
    seaweedfs.put(f"{prefix}/a.tar", make_shard(make_samples(3, size=1000)))
    juicefs.put(f"{prefix}/b.tar", make_shard(make_samples(4, size=1000)))
    seaweedfs.put(f"{prefix}/a.tar", make_shard(make_samples(5, size=1000)), "public")
    storage = {
        f"s3://shards/{prefix}/b": juicefs.settings(),
        "s3://": seaweedfs.settings(),
        "s3://public/": S3(endpoint=seaweedfs.url, anonymous=True),
    }
    urls = [f"s3://shards/{prefix}/a.tar", f"s3://shards/{prefix}/b*.tar", f"s3://public/{prefix}/*"]
    assert len(list(WebDataset(urls, storage=storage))) == 3 + 4 + 5


@pytest.mark.parametrize("storage", [3, {"s3://": "x"}, S3, {"s3://": None}], ids=str)
def test_settings_that_are_none(storage: Any) -> None:
    with pytest.raises(SpecError, match="S3"):
        WebDataset("s3://shards/a.tar", storage=storage)


async def test_a_dataset_over_s3_leaves_nothing(seaweedfs: ObjectStore, prefix: str) -> None:
    url = seaweedfs.put(f"{prefix}/a.tar", make_shard(make_samples(50, size=10_000)))
    async with leaks():
        dataset = WebDataset(f"s3://shards/{prefix}/*.tar", storage=seaweedfs.settings())
        assert len(list(dataset)) == 50
        for sample in dataset:
            assert sample["__url__"] == url
            break
        async for _ in dataset:
            break


def test_processes_that_were_forked_read_on_their_own(seaweedfs: ObjectStore, prefix: str) -> None:
    url = seaweedfs.put(f"{prefix}/a.tar", make_shard(make_samples(20, size=10_000)))
    dataset = WebDataset(url, storage=seaweedfs.settings())
    samples = iter(dataset)
    next(samples)
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os._exit(0 if len(list(dataset)) == 20 else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(samples)) == 19


SHARD = make_shard(make_samples(200, size=3000, fields=("bin",)))


def put_with_checksum(store: ObjectStore, key: str, data: bytes, kind: str, stated: bytes | None = None) -> str:
    """Stores an object with the checksum of `stated`, as if its bytes had changed since."""
    digest = digest_for(kind)
    assert digest is not None
    digest.update(data if stated is None else stated)
    value = base64.b64encode(bytes.fromhex(digest.hexdigest())).decode()
    with store.asked() as client:
        client.put_object(Bucket=store.bucket, Key=key, Body=data, **{f"Checksum{kind.upper()}": value})
    return f"s3://{store.bucket}/{key}"


@pytest.mark.parametrize("kind", ["crc32", "sha256"])
async def test_a_stores_checksum_is_told_with_every_part(seaweedfs: ObjectStore, prefix: str, kind: str) -> None:
    url = put_with_checksum(seaweedfs, f"{prefix}/a.tar", SHARD, kind)
    digest = digest_for(kind)
    assert digest is not None
    digest.update(SHARD)
    counters = Counters()
    async with open_s3(seaweedfs.settings(), counters) as fetcher:
        first, _ = await read(fetcher, url, 0, 1000)
        second, data = await read(fetcher, url, 1000, 2000, first.identity)
    assert data == SHARD[1000:2000]
    assert first.checksum == second.checksum == f"{kind}:{digest.hexdigest()}"
    assert counters.requests == 3
    async with open_s3(seaweedfs.settings(verify=False), counters) as fetcher:
        assert (await read(fetcher, url, 0, 1000))[0].checksum is None
    assert counters.requests == 4


@dataclass
class Relay:
    """Passes on requests to a store. The byte of each object at offset `flip` gets another value on the way."""

    behind: str
    flip: int | None = None
    flips: float = math.inf  # how often
    heads: int = 0
    fails: bool = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.heads += request.method == "HEAD"
        if request.method == "HEAD" and self.fails:
            return web.Response(status=403)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, self.behind + request.raw_path, headers=request.headers) as answer,
        ):
            page = bytearray(await answer.read())
            headers = {name: value for name, value in answer.headers.items() if name != "Date"}
        first = int(headers.get("Content-Range", "bytes 0-").removeprefix("bytes ").partition("-")[0])
        if self.flip is not None and self.flips > 0 and 0 <= self.flip - first < len(page):
            page[self.flip - first] ^= 1
            self.flips -= 1
        return web.Response(status=answer.status, body=bytes(page) or None, headers=headers)


@pytest.fixture
def relay(seaweedfs: ObjectStore) -> Iterator[tuple[Relay, S3]]:
    relay = Relay(seaweedfs.url)
    with serve(relay.answer) as (origin,):
        yield relay, replace(seaweedfs.settings(), endpoint=origin)


def in_small_parts(url: str, settings: S3, **options: Any) -> WebDataset:
    return WebDataset(url, prefetch=Prefetch(connections=4, part_bytes=100_000), storage=settings, **options)


def test_fault_26_a_flipped_byte_of_a_shard_is_found_by_the_stores_checksum(
    seaweedfs: ObjectStore, relay: tuple[Relay, S3], prefix: str
) -> None:
    between, settings = relay
    url = put_with_checksum(seaweedfs, f"{prefix}/s.tar", SHARD, "crc32")
    ds = in_small_parts(url, settings)
    assert sum(1 for _ in ds) == 200
    assert between.heads == 1
    between.flip = len(SHARD) // 2
    seen = []
    with pytest.raises(ChecksumError, match=f"the {len(SHARD)} bytes that came") as caught:
        seen.extend(iter(ds))
    assert len(seen) == 200
    assert (caught.value.url, ds.stats().shards_failed) == (url, 1)
    assert sum(1 for _ in in_small_parts(url, settings, verify=False)) == 200
    assert between.heads == 3
    assert sum(1 for _ in in_small_parts(url, replace(settings, verify=False))) == 200
    assert between.heads == 3


def test_fault_26_what_a_cache_downloads_has_the_stores_checksum(
    seaweedfs: ObjectStore, relay: tuple[Relay, S3], prefix: str, tmp_path: Path
) -> None:
    between, settings = relay
    between.flip = len(SHARD) // 2
    url = put_with_checksum(seaweedfs, f"{prefix}/s.tar", SHARD, "crc32")
    ds = in_small_parts(url, settings, cache_dir=tmp_path)
    for _ in range(2):
        seen = []
        with pytest.raises(ChecksumError, match=f"the {len(SHARD)} bytes that came"):
            seen.extend(iter(ds))
        assert len(seen) == 200
        assert not list(tmp_path.glob("*.tar"))
    between.flip = None
    assert sum(1 for _ in ds) == 200
    [kept] = tmp_path.glob("*.tar")
    assert kept.read_bytes() == SHARD


def test_what_is_kept_for_its_path_is_fetched_twice_at_most(
    seaweedfs: ObjectStore, relay: tuple[Relay, S3], prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between, settings = relay
    for name, value in (
        ("AWS_ENDPOINT_URL", settings.endpoint),
        ("AWS_ACCESS_KEY_ID", settings.access_key),
        ("AWS_SECRET_ACCESS_KEY", settings.secret_key),
    ):
        monkeypatch.setenv(name, str(value))
    url = put_with_checksum(seaweedfs, f"{prefix}/s.tar", SHARD, "crc32")
    between.flip = len(SHARD) // 2
    with pytest.raises(ChecksumError, match="the store keeps"):
        keep(url, Cache(tmp_path))
    assert (between.heads, list(tmp_path.glob("*.tar"))) == (2, [])
    between.flips = 1
    assert Path(keep(url, Cache(tmp_path))).read_bytes() == SHARD
    assert between.heads == 4


def test_a_store_that_does_not_tell_checksums_is_read_all_the_same(
    seaweedfs: ObjectStore, relay: tuple[Relay, S3], prefix: str
) -> None:
    between, settings = relay
    between.flip, between.fails = len(SHARD) // 2, True
    url = put_with_checksum(seaweedfs, f"{prefix}/s.tar", SHARD, "crc32")
    assert sum(1 for _ in in_small_parts(url, settings, retry=QUICK)) == 200
    assert between.heads >= 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-checksum-crc32": "ksWq1g=="}, "crc32:92c5aad6"),
        ({"x-amz-checksum-crc32": "ksWq1g==", "x-amz-checksum-type": "FULL_OBJECT"}, "crc32:92c5aad6"),
        ({"x-amz-checksum-crc32": "ksWq1g==-7"}, None),
        ({"x-amz-checksum-crc32": "ksWq1g==", "x-amz-checksum-type": "COMPOSITE"}, None),
        ({"x-amz-checksum-crc64nvme": "CRSFynAYcw4="}, None),
        ({"x-amz-checksum-sha256": "AAAA", "x-amz-checksum-crc32c": "n03x6A=="}, "crc32c:9f4df1e8"),
        ({"x-amz-checksum-crc32": "no base64"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_checksums_of_whole_objects_alone_are_taken(headers: dict[str, str], expected: str | None) -> None:
    assert stated_checksum(headers) == expected
