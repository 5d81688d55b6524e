"""A URL of a store's own, for calls in the name of another: `At`, a site within a site."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from asyncwds.errors import FetchError
from asyncwds.storage.object_store import Call, Refused, Reply, Request
from asyncwds.storage.ranges import Facts, facts_of


class Who(NamedTuple):
    """Headers that say who asks, and what they were made of: `Request.lease`."""

    headers: Mapping[str, str]
    lease: object = None

    def __repr__(self) -> str:
        return "Who(***)"


class At:
    """Requests `url`, whatever the call's url is; that one is for errors.

    `who` gives the headers, other ones after a refusal if it can, or None; `refusal` is `Site.refusal`.
    """

    def __init__(
        self, url: str, who: Callable[[Refused | None], Awaitable[Who | None]], refusal: Callable[[Call, Reply], FetchError]
    ) -> None:
        self._url = url
        self._who = who
        self._refusal = refusal

    async def sign(self, call: Call, refused: Refused | None = None) -> Request | None:
        who = await self._who(refused)
        if who is None:
            return None
        query = ("&" if "?" in self._url else "?") + urlencode(call.query) if call.query else ""
        return Request(self._url + query, {**call.headers, **who.headers}, who.lease)

    def renews(self, reply: Reply) -> bool:
        return reply.status == 401

    def refusal(self, call: Call, reply: Reply) -> FetchError:
        return self._refusal(call, reply)

    def facts(self, request: Request, headers: Mapping[str, str]) -> Facts:
        del request
        return facts_of(headers)

    def list(self, prefix: str, *, deep: bool) -> AsyncIterator[str]:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass
