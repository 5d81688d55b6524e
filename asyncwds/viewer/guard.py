"""Who may ask, and what browsers may do with answers.

Everything lies below a token, in the path and not in a cookie: cookies of 127.0.0.1 go to every port, and other
people's servers.
A name in `Host` that is not this machine's own is that of a page elsewhere, whose server made its name point here (DNS rebinding).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Middleware

from asyncwds import checks

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HOSTS = frozenset({"127.0.0.1", "localhost"})
SHORTEST = 16
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address has the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "asyncwds",
}


def as_token(given: str | None) -> str:
    """A new one, unless one is given. Raises SpecError for one that is short, or has letters that addresses have not."""
    if given is None:
        return secrets.token_urlsafe(24)
    checks.text("token", given)
    usable = len(given) >= SHORTEST and _LETTERS.issuperset(given)
    checks.require(usable, f"a token has at least {SHORTEST} of the letters A-Z, a-z, 0-9, - and _")
    return given


def only_with(token: str) -> Middleware:
    """A middleware that lets requests pass to this machine's own name, with this token, and that only read."""
    expected = token.encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _host_name(request.headers.get("Host", "")) not in HOSTS:
            return _refusal(403, "this address is for 127.0.0.1 and localhost only")
        given = request.path.split("/", 2)[1].encode("utf-8", "replace")
        if not secrets.compare_digest(given, expected):
            return _refusal(403, "the address needs its token: use the one that `asyncwds view` has printed")
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, "nothing can be changed here")
        try:
            return await handler(request)
        except web.HTTPException as error:  # there is no such page
            return _refusal(error.status, error.reason)

    return check


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001 - aiohttp's signature
    """To every answer."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def make_log() -> logging.Logger:
    """For aiohttp, which would log a traceback for each request that is no sound HTTP, or too long, beside its answer 400."""
    log = logging.getLogger("asyncwds.viewer")
    log.addFilter(_is_of_ours)  # once, however often
    return log


def _is_of_ours(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


def _host_name(host: str) -> str:
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def _refusal(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")
