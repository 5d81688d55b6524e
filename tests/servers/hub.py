"""A Hugging Face hub for tests, `/resolve/`, `/api/…/tree/` and rate limits as documented, and a CDN beside it.

Sources: the hub's documentation ("Hub API endpoints", "Hub rate limits") and its client `huggingface_hub`, which the tests
run against this server too. Files come from the CDN by signed URLs that end, and that may be bound to a range; the CDN
refuses whoever shows a token.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote

from aiohttp import web
from webapps import ranged, serve

KEY = b"between the hub and its CDN"
COMMIT = "0123456789abcdef0123456789abcdef01234567"  # of all revisions


@dataclass
class Hub:
    """`repos` is "datasets/USER/NAME" (models without a first word) → revision → path → bytes.

    tokens       known to the hub; any other is refused everywhere
    private      repos that need one
    direct       paths that the hub serves itself, as it does with small files
    bound        "no": URLs serve any range; "asked": those that were asked for with a range serve that one alone; "always": so
                 do the others, which is to say that they serve no range
    shut         the CDN refuses everything with 403
    page         names on one page of a listing
    requests     ("METHOD server path", headers) of each, as they came
    """

    origin: str = ""
    cdn: str = ""
    repos: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    direct: set[str] = field(default_factory=set)
    bound: Literal["no", "asked", "always"] = "no"
    shut: bool = False
    page: int = 1000
    epoch: int = 0
    refuse_with: int = 403
    left: int | None = None
    reset_at: float = 0.0
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, repo: str, path: str, data: bytes, revision: str = "main") -> None:
        self.repos.setdefault(repo, {}).setdefault(revision, {})[path] = data

    def expire(self, status: int = 403) -> None:
        """All URLs that were signed so far are refused from now on."""
        self.epoch += 1
        self.refuse_with = status

    def limit(self, requests: int, seconds: int) -> None:
        """So many requests to the hub are left in a window that ends in `seconds`."""
        self.left, self.reset_at = requests, time.monotonic() + seconds

    def count(self, what: str) -> int:
        """Requests whose "METHOD server path" has this in it."""
        return sum(what in line for line, _ in self.requests)

    # The hub

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self._note("hub", request)
        limited = self._limited()
        if limited is not None:
            return limited
        raw = request.raw_path.partition("?")[0]
        if raw.startswith("/api/resolve-cache/"):
            return self._file(request, *self._found(raw.removeprefix("/api/resolve-cache/")))
        if raw.startswith("/api/"):
            return self._tree(request, raw.removeprefix("/api/"))
        return self._resolve(request, raw.lstrip("/"))

    def _limited(self) -> web.Response | None:
        if self.left is None:
            return None
        seconds = self.reset_at - time.monotonic()
        if seconds <= 0:
            self.left = None
            return None
        if self.left > 0:
            self.left -= 1
            return None
        policy = '"fixed window";"resolvers";q=3000;w=300'
        return web.Response(status=429, headers={"RateLimit": f'"resolvers";r=0;t={int(seconds) + 1}', "RateLimit-Policy": policy})

    def _resolve(self, request: web.Request, raw: str) -> web.Response:
        repo, _, rest = raw.partition("/resolve/")
        refused = self._refused(request, repo)
        if refused is not None:
            return refused
        data, error = self._found(f"{repo}/{rest}")
        if error is not None:
            return error
        path = unquote(rest.partition("/")[2])
        common = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if path in self.direct:
            # Relative, as the hub does for files that are not in LFS.
            return web.Response(status=307, headers=common | {"Location": f"/api/resolve-cache/{repo}/{rest}"})
        sha = hashlib.sha256(data).hexdigest()
        linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{sha}"', "ETag": f'"{sha[:40]}"'}
        location = self._signed(repo, rest, request.headers.get("Range"))
        return web.Response(status=302, headers=common | linked | {"Location": location})

    def _file(self, request: web.Request, data: bytes, error: web.Response | None) -> web.Response:
        if error is not None:
            return error
        return ranged(request, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _tree(self, request: web.Request, raw: str) -> web.Response:
        repo, _, rest = raw.partition("/tree/")
        repo = repo.removeprefix("models/")
        refused = self._refused(request, repo)
        if refused is not None:
            return refused
        revision, _, folder = rest.partition("/")
        paths = self.repos.get(repo, {}).get(unquote(revision))
        if paths is None:
            return _missing("RepoNotFound" if repo not in self.repos else "RevisionNotFound")
        prefix = unquote(folder).rstrip("/") + "/" if folder else ""
        entries = list(_entries(sorted(paths), prefix, paths, deep=request.query.get("recursive", "").lower() == "true"))
        if prefix and not entries:
            return _missing("EntryNotFound")
        begin, size = int(request.query.get("cursor", 0)), min(self.page, int(request.query.get("limit", self.page)))
        headers = {}
        if begin + size < len(entries):
            following = request.url.update_query(cursor=str(begin + size))
            headers["Link"] = f'<{following}>; rel="next"'
        return web.Response(text=json.dumps(entries[begin : begin + size]), headers=headers, content_type="application/json")

    def _refused(self, request: web.Request, repo: str) -> web.Response | None:
        token = request.headers.get("Authorization")
        if token is not None and token.removeprefix("Bearer ") not in self.tokens:
            return web.Response(status=401, headers={"X-Error-Message": "Invalid username or password."})
        if token is None and repo in self.private:
            # The hub does not tell what is private from what there isn't.
            return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        return None

    def _found(self, raw: str) -> tuple[bytes, web.Response | None]:
        for repo, revisions in self.repos.items():
            if raw.startswith(repo + "/"):
                revision, _, path = raw[len(repo) + 1 :].partition("/")
                if unquote(revision) not in revisions:
                    return b"", _missing("RevisionNotFound")
                data = revisions[unquote(revision)].get(unquote(path))
                return (b"", _missing("EntryNotFound")) if data is None else (data, None)
        return b"", _missing("RepoNotFound")

    # Its CDN

    def _signed(self, repo: str, rest: str, asked: str | None) -> str:
        bound = "any" if self.bound == "no" or (self.bound == "asked" and asked is None) else asked or ""
        name = f"{repo}/{rest}"
        query = f"X-Amz-Expires={self.epoch}&X-Xet-Signed-Range={quote(bound)}"
        return f"{self.cdn}/{name}?{query}&X-Amz-Signature={_signature(name, str(self.epoch), bound)}"

    async def deliver(self, request: web.Request) -> web.StreamResponse:
        self._note("cdn", request)
        name, _, query = request.raw_path[1:].partition("?")
        refused = self._unsigned(request, name, query)
        if refused is not None:
            return refused
        data, error = self._found(name)
        # The ETag is not the hub's: another CDN may have another one for the same file.
        return error or ranged(request, data, {"ETag": f'"{self.epoch}-{hashlib.md5(data).hexdigest()}"'})

    def _unsigned(self, request: web.Request, name: str, query: str) -> web.Response | None:
        if "Authorization" in request.headers:
            return web.Response(status=400, text="a token has no business here")
        bound = request.query.get("X-Xet-Signed-Range", "")
        expected = _signature(name, request.query.get("X-Amz-Expires", ""), bound)
        if not hmac.compare_digest(request.query.get("X-Amz-Signature", ""), expected) or query.count("&") != 2:
            return web.Response(status=403, text="SignatureDoesNotMatch")
        if int(request.query["X-Amz-Expires"]) < self.epoch:
            return web.Response(status=self.refuse_with, text="Request has expired")
        if self.shut or bound not in {"any", request.headers.get("Range", "")}:
            return web.Response(status=403, text="AccessDenied")
        return None

    def _note(self, server: str, request: web.Request) -> None:
        self.requests.append((f"{request.method} {server} {request.raw_path}", dict(request.headers)))


def _signature(*parts: str) -> str:
    return hmac.new(KEY, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def _missing(code: str) -> web.Response:
    return web.Response(status=404, headers={"X-Error-Code": code, "X-Error-Message": code})


def _entries(paths: list[str], prefix: str, files: dict[str, bytes], *, deep: bool) -> Iterator[dict[str, object]]:
    folders: set[str] = set()
    for path in paths:
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts)):
            folder = prefix + "/".join(parts[:depth])
            if folder not in folders and (deep or depth == 1):
                folders.add(folder)
                yield {"type": "directory", "oid": hashlib.sha1(folder.encode()).hexdigest(), "size": 0, "path": folder}
        if deep or len(parts) == 1:
            oid = hashlib.sha1(files[path]).hexdigest()
            yield {"type": "file", "oid": oid, "size": len(files[path]), "path": path}


@contextmanager
def run_hub() -> Iterator[Hub]:
    hub = Hub()
    with serve(hub.answer, hub.deliver) as (hub.origin, hub.cdn):
        yield hub
