"""Plain web servers as a store: urls as they are, nothing signed. Credentials come from `Http` and ~/.netrc.

Folders are listed by their index pages, as nginx (`autoindex on`), Apache (`Options +Indexes`) and `python -m http.server` make
them: links, of which those count that lead one level down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from html.parser import HTMLParser
from urllib.parse import unquote, urlencode, urljoin

from asyncwds.errors import FetchError
from asyncwds.storage.http.translate import error_for
from asyncwds.storage.http.transport import Transport
from asyncwds.storage.object_store import RejectedRequest, SignedRequest, StoreRequest, StoreResponse
from asyncwds.storage.ranges import ObjectMetadata, metadata_of
from asyncwds.storage.stores.api_client import ApiClient

_NO_INDEX = {403, 404, 405, 410}  # what servers say to a folder's url that make no index page
MAX_DEPTH = 32  # of folders: links on a server may go in circles


class WebStore:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def sign(self, request: StoreRequest, refused: RejectedRequest | None = None) -> SignedRequest:
        del refused
        query = ("&" if "?" in request.url else "?") + urlencode(request.query) if request.query else ""
        return SignedRequest(request.url + query, request.headers)

    def should_resign(self, response: StoreResponse) -> bool:
        del response
        return False

    def error_for(self, request: StoreRequest, response: StoreResponse) -> FetchError:
        return error_for(request.url, request.offset, response.status, response.headers, response.page)

    def metadata(self, signed: SignedRequest, headers: Mapping[str, str]) -> ObjectMetadata:
        del signed
        return metadata_of(headers)

    async def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        folder, name = _split(prefix)
        pages = _IndexPages(ApiClient(self._transport, self))
        async for url in pages.below(folder, MAX_DEPTH) if deep else pages.children(folder):
            if unquote(url[len(folder) :]).startswith(name):
                yield url

    async def aclose(self) -> None:
        pass


class _IndexPages:
    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def below(self, folder: str, depth: int) -> AsyncIterator[str]:
        if not depth:
            raise FetchError(f"folders are nested more than {MAX_DEPTH} deep", url=folder)
        async for url in self.children(folder):
            if not url.endswith("/"):
                yield url
                continue
            async for below in self.below(url, depth - 1):
                yield below

    async def children(self, folder: str) -> AsyncIterator[str]:
        try:
            response = await self._api.send(StoreRequest("GET", folder))
        except FetchError as error:
            if error.status in _NO_INDEX:
                error.message = f"wildcards need a page that lists the folder, and {error.message}; name the shards: {{000..099}}"
            raise
        for url in links(folder, response.page.decode("utf-8", "replace")):
            yield url


def links(folder: str, page: str) -> Iterator[str]:
    """The urls on an index page that lie one level below it, each once, escaped as they are there; folders with a slash."""
    parser = _Links()
    parser.feed(page)
    seen = set()
    for target in parser.targets:
        url = urljoin(folder, target)
        name = url.removeprefix(folder)
        below = url.startswith(folder) and name and "/" not in name[:-1] and name != "/"
        if below and not {"?", "#"}.intersection(name) and url not in seen:
            seen.add(url)
            yield url


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if (tag, name) == ("a", "href") and value]


def _split(prefix: str) -> tuple[str, str]:
    """The folder, with its slash, and the beginning of a name in it, not escaped."""
    folder, slash, name = prefix.rpartition("/")
    return folder + slash, unquote(name)
