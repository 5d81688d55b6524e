"""Writing to s3://: into a real SeaweedFS and a real JuiceFS gateway, and to a service that fails as told."""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import web
from objectstore import READER, ObjectStore
from webapps import serve

from asyncwds import S3, AsyncShardWriter, Http, Retry, ShardWriter, TarWriter, WebDataset, gopen
from asyncwds.errors import AccessError, FetchError, FetchTimeoutError, SpecError
from asyncwds.runtime import MiB
from asyncwds.settings import Access
from asyncwds.storage import BucketSink, S3Store
from asyncwds.testing import Fault, FaultServer, leaks, make_samples

pytestmark = pytest.mark.needs("botocore")
PART = 5 * MiB
SIZE = 12 * MiB + 5
DATA = (random.Random(1).randbytes(65_537) * 193)[:SIZE]  # no two parts are alike; all that is random takes 38 MB while it is made
assert len(DATA) == SIZE
QUICK = Retry(tries=4, backoff=0.01, backoff_max=0.05)


@pytest.fixture(params=["seaweedfs", "juicefs"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    found: ObjectStore = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


async def upload(url: str, data: bytes, settings: S3, retry: Retry = QUICK) -> None:
    sink = BucketSink(Access(Http(), retry), partial(S3Store, settings))
    writing = await sink.open(url)
    try:
        for start in range(0, len(data), MiB):
            await writing.write(data[start : start + MiB])
        await writing.commit()
    finally:
        await writing.abort()
        await sink.aclose()


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, len(DATA)])
async def test_objects_of_any_size(store: ObjectStore, prefix: str, size: int) -> None:
    key = f"{prefix}/a b+ü%41?.tar"
    async with leaks():
        await upload(f"s3://{store.bucket}/{key}", DATA[:size], store.settings(part_bytes=PART))
    assert sha256(store.get(key)).digest() == sha256(DATA[:size]).digest()


def test_shards_and_their_manifest(store: ObjectStore, prefix: str) -> None:
    folder = f"s3://{store.bucket}/{prefix}"
    settings = store.settings(part_bytes=PART)
    samples = list(make_samples(300, size=100_000))
    with leaks():
        with ShardWriter(f"{folder}/a-%03d.tar", maxcount=130, storage=settings, manifest=f"{folder}/all.json") as sink:
            for sample in samples:
                sink.write(sample)
        assert [sample["bin"] for sample in WebDataset(f"{folder}/a-*.tar", storage=settings)] == [
            sample["bin"] for sample in samples
        ]
    manifest = json.loads(store.get(f"{prefix}/all.json"))
    assert [shard["samples"] for shard in manifest["shards"]] == [130, 130, 40]
    assert not store.unfinished_uploads(prefix)


async def test_shards_from_a_loop(store: ObjectStore, prefix: str) -> None:
    settings = store.settings(part_bytes=PART)
    samples = list(make_samples(150, size=100_000))
    async with leaks(), AsyncShardWriter(f"s3://{store.bucket}/{prefix}/a-%03d.tar", maxcount=100, storage=settings) as sink:
        for sample in samples:
            await sink.write(sample)
    found = [sample["bin"] for sample in WebDataset(f"s3://{store.bucket}/{prefix}/*", storage=settings)]
    assert found == [sample["bin"] for sample in samples]


def test_single_archives_and_files(store: ObjectStore, prefix: str) -> None:
    settings = store.settings()
    url = f"s3://{store.bucket}/{prefix}/a.tar"
    with TarWriter(url, storage=settings) as sink:
        sink.write({"__key__": "a", "txt": "text"})
    with gopen(url, storage=settings) as file:
        archive = file.read()
    assert archive == store.get(f"{prefix}/a.tar")
    with gopen(url, "wb", storage=settings) as file:
        file.write(archive * 2)
    assert store.get(f"{prefix}/a.tar") == archive * 2


def test_an_error_in_the_middle_leaves_nothing(store: ObjectStore, prefix: str) -> None:
    with leaks(), pytest.raises(KeyError), ShardWriter(_pattern(store, prefix), storage=store.settings(part_bytes=PART)) as sink:
        for number, sample in enumerate(make_samples(120, size=100_000)):
            sink.write(sample)
            if number == 119:
                assert len(store.unfinished_uploads(prefix)) == 1
                raise KeyError
    assert not store.unfinished_uploads(prefix)
    assert not store.keys(prefix)


async def test_a_task_that_is_cancelled_leaves_nothing(store: ObjectStore, prefix: str) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with AsyncShardWriter(_pattern(store, prefix), storage=store.settings(part_bytes=PART)) as sink:
            while True:
                for sample in make_samples(100, size=100_000):
                    await sink.write(sample)
                begun.set()

    async with leaks():
        task = asyncio.create_task(write())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not store.unfinished_uploads(prefix)
    assert not store.keys(prefix)


def test_a_process_that_is_killed_leaves_parts_and_no_object(seaweedfs: ObjectStore, prefix: str) -> None:
    """Which is why buckets want a lifecycle rule: see docs/writing.md."""
    program = (
        "import asyncwds, sys\n"
        "from asyncwds.testing import make_samples\n"
        f"storage = asyncwds.S3(endpoint={seaweedfs.url!r}, part_bytes={PART})\n"
        f"with asyncwds.ShardWriter({_pattern(seaweedfs, prefix)!r}, storage=storage) as sink:\n"
        "    for sample in make_samples(120, size=100_000): sink.write(sample)\n"
        "    print('written', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    keys = {"AWS_ACCESS_KEY_ID": "AKTEST", "AWS_SECRET_ACCESS_KEY": "SKTESTSKTEST"}
    with subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, **keys}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert not seaweedfs.keys(prefix)
    assert seaweedfs.unfinished_uploads(prefix) == [f"{prefix}/a-000000.tar"]
    client = seaweedfs.client
    for left in client.list_multipart_uploads(Bucket=seaweedfs.bucket)["Uploads"]:
        client.abort_multipart_upload(Bucket=seaweedfs.bucket, Key=left["Key"], UploadId=left["UploadId"])


def test_whoever_may_only_read_is_told(seaweedfs: ObjectStore, prefix: str) -> None:
    with pytest.raises(AccessError) as caught, ShardWriter(_pattern(seaweedfs, prefix), storage=seaweedfs.settings(READER)) as sink:
        for sample in make_samples(3):
            sink.write(sample)
    assert (caught.value.url, caught.value.status) == (f"s3://shards/{prefix}/a-000000.tar", 403)
    assert not seaweedfs.keys(prefix)


def test_urls_that_name_no_object() -> None:
    for url in ("s3:///a.tar", "s3://bucket", "s3://bucket/"):
        with pytest.raises(SpecError) as caught, TarWriter(url, storage=S3(anonymous=True)):
            pass
        assert caught.value.url == url


def _pattern(store: ObjectStore, prefix: str) -> str:
    return f"s3://{store.bucket}/{prefix}/a-%06d.tar"


# -- a service that fails as told


class Service:
    """Uploads of one object. `answers` holds, by what is asked for, what to say in place of doing it, once each."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[int, bytes] | None = None
        self.asked: list[str] = []
        self.answers: dict[str, list[Callable[[], web.StreamResponse]]] = {}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = await request.content.read()
        assert request.headers["x-amz-content-sha256"] == sha256(body).hexdigest()
        what = request.method + "".join(f" {name}" for name in sorted(request.query))
        self.asked.append(what)
        answer = self._do(what, request, body)
        return self.answers[what].pop(0)() if self.answers.get(what) else answer

    def _do(self, what: str, request: web.Request, body: bytes) -> web.StreamResponse:  # noqa: PLR0911
        if what == "POST uploads":
            self.parts = {}
            return web.Response(text="<Result><UploadId>x/y+z==</UploadId></Result>")
        if what == "PUT":
            self.objects[request.path] = body
            return web.Response()
        if what == "HEAD" and request.path in self.objects:
            return web.Response(body=self.objects[request.path], headers={"ETag": '"0123-3"'})
        if self.parts is None or request.query.get("uploadId") != "x/y+z==":
            return web.Response(status=404, text="<Error><Code>NoSuchUpload</Code></Error>")
        if what == "PUT partNumber uploadId":
            self.parts[int(request.query["partNumber"])] = body
            return web.Response(headers={"ETag": f'"{sha256(body).hexdigest()}"'})
        parts, self.parts = self.parts, None
        if what == "DELETE uploadId":
            return web.Response(status=204)
        named = re.findall("<PartNumber>(.*?)</PartNumber><ETag>(.*?)</ETag>", body.decode())
        assert named == [(str(number), f'"{sha256(parts[number]).hexdigest()}"') for number in sorted(parts)]
        self.objects[request.path] = b"".join(parts[number] for number in sorted(parts))
        return web.Response(text="<CompleteMultipartUploadResult/>")


def error(status: int, code: str) -> Callable[[], web.StreamResponse]:
    return lambda: web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>")


def broken() -> web.StreamResponse:
    raise ConnectionResetError


async def send(service: Service) -> None:
    with serve(service) as (origin,):
        await upload("s3://b/a", DATA, S3(endpoint=origin, access_key="AK", secret_key="SK", part_bytes=PART))


PASSING: list[tuple[str, Callable[[], web.StreamResponse]]] = [
    ("POST uploads", error(503, "SlowDown")),
    ("PUT partNumber uploadId", error(500, "InternalError")),
    ("PUT partNumber uploadId", error(400, "RequestTimeout")),
    ("PUT partNumber uploadId", broken),
    ("POST uploadId", error(503, "SlowDown")),
    ("POST uploadId", broken),
]


@pytest.mark.parametrize(("what", "answer"), PASSING, ids=lambda value: value if isinstance(value, str) else "")
async def test_failures_that_pass_are_tried_again(what: str, answer: Callable[[], web.StreamResponse]) -> None:
    """The service did what it was asked for, too, before it said so: also an upload that is complete already is complete."""
    service = Service()
    service.answers[what] = [answer]
    await send(service)
    assert service.objects == {"/b/a": DATA}
    assert service.asked.count(what) == (4 if "partNumber" in what else 2)


REFUSED: list[tuple[str, Callable[[], web.StreamResponse], str]] = [
    ("POST uploads", error(403, "AccessDenied"), "AccessDenied"),
    ("POST uploads", lambda: web.Response(text="<Result/>"), "number"),
    ("POST uploads", lambda: web.Response(text="<html>"), "no XML"),
    ("PUT partNumber uploadId", error(400, "InvalidDigest"), "InvalidDigest"),
    ("PUT partNumber uploadId", web.Response, "no ETag"),
]


@pytest.mark.parametrize(("what", "answer", "said"), REFUSED)
async def test_failures_that_do_not_pass(what: str, answer: Callable[[], web.StreamResponse], said: str) -> None:
    service = Service()
    service.answers[what] = [answer] * 3
    with pytest.raises(FetchError, match=said) as caught:
        await send(service)
    assert caught.value.url == "s3://b/a"
    assert not service.objects
    if what != "POST uploads":
        assert "DELETE uploadId" in service.asked


async def test_an_error_that_comes_with_status_200() -> None:
    """S3 sends the status before it knows, where putting the parts together takes long."""

    class Late(Service):
        def _do(self, what: str, request: web.Request, body: bytes) -> web.StreamResponse:
            if what == "POST uploadId":
                return web.Response(
                    text=" \n<?xml version='1.0'?><Error><Code>InternalError</Code><Message>try later</Message></Error>"
                )
            return super()._do(what, request, body)

    service = Late()
    with pytest.raises(FetchError, match="InternalError; try later"):
        await send(service)
    assert service.asked[-1] == "DELETE uploadId"


@pytest.mark.parametrize("fault", [Fault(status=403, early=True), Fault(status=403)], ids=["early", "late"])
async def test_an_upload_that_is_refused_before_or_after_its_end(fault: Fault) -> None:
    with FaultServer({}, writable=True, faults=[fault]) as server, pytest.raises(AccessError) as caught:
        await upload("s3://b/a", DATA[:PART], S3(endpoint=server.url().rstrip("/"), anonymous=True))
    assert caught.value.url == "s3://b/a"


async def test_fault_01_a_service_that_is_away_and_comes_back() -> None:
    with FaultServer({}, writable=True) as gone:
        settings = S3(endpoint=gone.url().rstrip("/"), anonymous=True)
    sending = asyncio.create_task(upload("s3://b/a", DATA[:PART], settings, Retry(backoff=0.01, backoff_max=0.1)))
    await asyncio.sleep(0.5)
    with FaultServer({}, writable=True, host=gone.host, port=gone.port) as server:
        await sending
        assert server.get("b/a") == DATA[:PART]


async def test_fault_11_an_upload_that_stalls_is_made_again() -> None:
    retry = Retry(tries=2, backoff=0.01, connect_timeout=0.5, stall_timeout=0.5)
    with FaultServer({}, writable=True, faults=[Fault(upload_stall_at=1000, times=1)]) as server:
        await upload("s3://b/a", DATA[:PART], S3(endpoint=server.url().rstrip("/"), anonymous=True), retry)
        assert server.get("b/a") == DATA[:PART]
        server.add(Fault(upload_stall_at=1000))
        with pytest.raises(FetchTimeoutError, match="stalled"):
            await upload("s3://b/a", DATA[:PART], S3(endpoint=server.url().rstrip("/"), anonymous=True), retry)


def test_settings_reach_every_writer(tmp_path: Any) -> None:
    for make in (TarWriter, ShardWriter, AsyncShardWriter):
        with pytest.raises(SpecError, match="storage must be"):
            make(str(tmp_path / "a-%d.tar"), storage=3)  # type: ignore[arg-type]
