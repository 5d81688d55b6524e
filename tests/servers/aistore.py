"""An AIStore cluster for tests: a gateway and two targets, as its HTTP API is documented ("RESTful API" of AIStore, `http_api.md`,
with the names of query parameters and headers in `api/apc/query.go` and `api/apc/headers.go`).

The gateway answers 307 with a Location on one of the targets, its query kept and signed together with the size of the body
(parameters pid, utm, x, u), and reads no body itself; targets take nothing without it. Stricter than the real ones, they take
each Location once, for 2 s at most, and no token at all.
"""

import hashlib
import hmac
import io
import json
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import xxhash
from aiohttp import web
from webapps import ranged, serve

KEY = b"the cluster's own"


class Crc32c:
    """Bit by bit, as its polynomial says (RFC 3720, 12.1)."""

    def __init__(self, data: bytes) -> None:
        crc = 0xFFFFFFFF
        for byte in data:
            crc = (crc >> 8) ^ _CRC_OF_BYTE[(crc ^ byte) & 0xFF]
        self._crc = crc ^ 0xFFFFFFFF

    def hexdigest(self) -> str:
        return self._crc.to_bytes(4, "big").hex()


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_OF_BYTE = [_crc_of(byte) for byte in range(256)]
HASHES: dict[str, Any] = {"md5": hashlib.md5, "sha256": hashlib.sha256, "xxhash2": xxhash.xxh64, "crc32c": Crc32c}


@dataclass
class Stored:
    data: bytes
    version: int = 1
    checksum: str = ""


@dataclass
class Cluster:
    """`objects` is (provider, bucket) → name → object.

    token      wanted by the gateway, if any
    hash       of the buckets; "none" for no checksums
    versions   whether objects have a version
    of_ranges  answers have the checksum of the range asked for (`checksum.enable_read_range`)
    page       names on one page of a listing
    uploads    number of each multipart upload that is neither completed nor aborted → part number → bytes
    busy       so many of the next requests to targets are answered with 503
    cut        so many of the next bodies end after 50000 bytes, with the connection
    prefetched (bucket, names) of each prefetch job
    requests   ("METHOD server path", headers) of each, as they came
    """

    gateway: str = ""
    targets: list[str] = field(default_factory=list)
    objects: dict[tuple[str, str], dict[str, Stored]] = field(default_factory=dict)
    token: str | None = None
    hash: str = "xxhash2"
    versions: bool = True
    of_ranges: bool = False
    page: int = 1000
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    busy: int = 0
    cut: int = 0
    prefetched: list[tuple[str, list[str]]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    followed: set[str] = field(default_factory=set)

    def put(self, bucket: str, name: str, data: bytes, provider: str = "ais") -> None:
        objects = self.objects.setdefault((provider, bucket), {})
        version = objects[name].version + 1 if name in objects else 1
        objects[name] = Stored(data, version, "" if self.hash == "none" else HASHES[self.hash](data).hexdigest())

    def flip(self, bucket: str, name: str, position: int, provider: str = "ais") -> None:
        """One bit of a stored object changes on disk, unnoticed."""
        stored = self.objects[provider, bucket][name]
        data = bytearray(stored.data)
        data[position] ^= 1
        stored.data = bytes(data)

    def count(self, what: str) -> int:
        """Requests whose "METHOD server path" has this in it."""
        return sum(what in line for line, _ in self.requests)

    # The gateway

    async def manage(self, request: web.Request) -> web.StreamResponse:
        self._note("gateway", request)
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _error(401, "token required" if "Authorization" not in request.headers else "invalid token")
        resource, _, rest = request.raw_path.removeprefix("/v1/").partition("?")[0].partition("/")
        if resource == "objects":
            headers = {"Location": self._location(request)} | ({"Connection": "close"} if request.method == "PUT" else {})
            return web.Response(status=307, headers=headers)
        return await self._bucket(request, rest)

    async def _bucket(self, request: web.Request, bucket: str) -> web.Response:
        objects = self.objects.get((request.query.get("provider", "ais"), bucket))
        if objects is None:
            return _error(404, f'bucket "{bucket}" does not exist')
        message = await request.json()
        if request.method == "GET" and message["action"] == "list":
            return self._listed(objects, message.get("value") or {})
        if request.method == "POST" and message["action"] == "prefetch-listrange":
            if request.query.get("provider", "ais") == "ais":
                return _error(400, "only remote buckets can be prefetched")
            self.prefetched.append((bucket, message["value"]["objnames"]))
            return web.Response(status=202, text="prefetch-job")
        return _error(400, f"unknown action {message['action']}")

    def _location(self, request: web.Request) -> str:
        path, _, query = request.raw_path.partition("?")
        target = self.targets[hashlib.md5(path.encode()).digest()[0] % len(self.targets)]
        query += f"{'&' if query else ''}pid=p1&utm={time.time_ns()}&x={len(self.requests)}"
        return f"{target}{path}?{query}&u={_signature(path, query, request.headers.get('Content-Length', ''))}"

    def _listed(self, objects: dict[str, Stored], wanted: dict[str, Any]) -> web.Response:
        names = sorted(name for name in objects if name.startswith(wanted.get("prefix", "")))
        after = wanted.get("continuation_token", "")
        rest = [name for name in names if name > after]
        page = rest[: min(self.page, wanted.get("pagesize") or self.page)]
        entries = [{"name": name, "size": str(len(objects[name].data)), "flags": 64} for name in page]
        token = page[-1] if len(rest) > len(page) else ""
        return web.json_response({"uuid": "list-job", "continuation_token": token, "entries": entries or None, "flags": 0})

    # The targets

    async def store(self, request: web.Request) -> web.StreamResponse:
        self._note("target", request)
        refused = self._refused(request)
        if refused is not None:
            return refused
        if self.busy:
            self.busy -= 1
            return _error(503, "busy")
        bucket, _, raw = request.raw_path.partition("?")[0].removeprefix("/v1/objects/").partition("/")
        provider, name = request.query.get("provider", "ais"), unquote(raw)
        if request.method != "GET":
            return self._written(request, bucket, name, await request.read())
        stored = self.objects.get((provider, bucket), {}).get(name)
        if stored is None:
            return _error(404, f'object "{bucket}/{name}" does not exist')
        answer = self._answer(request, stored)
        if self.cut and request.transport is not None:
            self.cut -= 1
            return await _broken(request, answer)
        return answer

    def _written(self, request: web.Request, bucket: str, name: str, body: bytes) -> web.Response:
        provider, upload = request.query.get("provider", "ais"), request.query.get("uploadId")
        if request.method == "PUT" and upload is None:
            self.put(bucket, name, body, provider)
        elif request.method == "PUT":
            if upload not in self.uploads:
                return _error(404, "no such upload")
            self.uploads[upload][int(request.query["partNumber"])] = body
        else:
            return self._multipart(json.loads(body), upload, (bucket, name, provider))
        return web.Response()

    def _multipart(self, message: dict[str, Any], upload: str | None, target: tuple[str, str, str]) -> web.Response:
        if message["action"] == "mpt-upload":
            self.uploads[str(len(self.requests))] = {}
            return web.Response(text=str(len(self.requests)))
        parts = self.uploads.pop(upload or "", None)
        if parts is None:
            return _error(404, "no such upload")
        if message["action"] == "mpt-complete":
            bucket, name, provider = target
            self.put(bucket, name, b"".join(parts[part["part-number"]] for part in message["value"]), provider)
        return web.Response()

    def _refused(self, request: web.Request) -> web.Response | None:
        path, _, query = request.raw_path.partition("?")
        signed, _, signature = query.partition("&u=")
        if not hmac.compare_digest(signature, _signature(path, signed, request.headers.get("Content-Length", ""))):
            return _error(401, "a redirect of the gateway was expected, verbatim")
        if request.raw_path in self.followed or time.time_ns() - int(request.query["utm"]) > 2e9:
            return _error(401, "this redirect was followed before, or is too old")
        self.followed.add(request.raw_path)
        return _error(400, "a token has no business here") if "Authorization" in request.headers else None

    def _answer(self, request: web.Request, stored: Stored) -> web.Response:
        data, checksum = stored.data, stored.checksum
        if "archpath" in request.query:
            member = _member(data, request.query["archpath"])
            if member is None:
                return _error(404, f'"{request.query["archpath"]}" is not in the archive')
            data, checksum = member, HASHES[self.hash](member).hexdigest()
        headers = {"Ais-Checksum-Type": self.hash, "Ais-Checksum-Value": checksum} if checksum else {}
        if self.versions:
            headers["Ais-Version"] = str(stored.version)
        answer = ranged(request, data, headers)
        if self.of_ranges:
            answer.headers["Ais-Checksum-Value"] = HASHES[self.hash](answer.body).hexdigest()
        return answer

    def _note(self, server: str, request: web.Request) -> None:
        self.requests.append((f"{request.method} {server} {request.raw_path}", dict(request.headers)))


async def _broken(request: web.Request, whole: web.Response) -> web.StreamResponse:
    answer = web.StreamResponse(status=whole.status, headers=whole.headers)
    assert isinstance(whole.body, bytes)
    answer.content_length = len(whole.body)
    await answer.prepare(request)
    await answer.write(whole.body[:50_000])
    assert request.transport is not None
    request.transport.close()
    return answer


def _signature(*parts: str) -> str:
    return hmac.new(KEY, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def _member(archive: bytes, name: str) -> bytes | None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        try:
            found = tar.extractfile(name)
        except KeyError:
            return None
        return None if found is None else found.read()


def _error(status: int, message: str) -> web.Response:
    return web.Response(status=status, text=json.dumps({"status": status, "message": message}), content_type="application/json")


@contextmanager
def run_aistore() -> Iterator[Cluster]:
    cluster = Cluster()
    with serve(cluster.manage, cluster.store, cluster.store) as (cluster.gateway, *cluster.targets):
        yield cluster
