"""Plain web servers as a site: urls as they are, nothing signed. Credentials come from `Http` and ~/.netrc."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlencode

from asyncwds.errors import FetchError
from asyncwds.storage.ranges import Facts, facts_of
from asyncwds.storage.sites import Call, Refused, Reply, Request
from asyncwds.storage.translate import refusal
from asyncwds.storage.transport import Transport


class Web:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def sign(self, call: Call, refused: Refused | None = None) -> Request:
        del refused
        query = ("&" if "?" in call.url else "?") + urlencode(call.query) if call.query else ""
        return Request(call.url + query, call.headers)

    def renews(self, reply: Reply) -> bool:
        del reply
        return False

    def refusal(self, call: Call, reply: Reply) -> FetchError:
        return refusal(call.url, call.offset, reply.status, reply.headers, reply.page)

    def facts(self, request: Request, headers: Mapping[str, str]) -> Facts:
        del request
        return facts_of(headers)

    def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass
