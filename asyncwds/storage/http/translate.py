"""Foreign failures become ours: aiohttp's exceptions, and answers that are refusals. The one place that does so."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import responses

import aiohttp

from asyncwds.errors import (
    AccessError,
    ChangedError,
    FetchError,
    FetchTimeoutError,
    NotFoundError,
    ShortBodyError,
    ThrottledError,
    redact,
)

# What aiohttp lets out: its own errors, the loop's, and ValueError for URLs and headers that cannot be sent.
FOREIGN = (aiohttp.ClientError, OSError, ValueError)

_NO_NAME = 8.0  # [s] after which a name that nobody knows is taken for a mistake; resolvers have bad moments too
_NO_DATA = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)

# Codes in the XML that S3 and Azure send with a refusal, which say more than its status; others send messages in JSON.
_CODE = re.compile(rb"<Code>(\w+)</Code>")
_MESSAGE = re.compile(rb'<Message>([^<]{1,200})|"message"\s*:\s*("(?:[^"\\]|\\.){1,200}")')
_BUSY_CODES = {"SlowDown", "ServerBusy", "TooManyRequests"}
_PASSING_CODES = {"RequestTimeout", "InternalError", "OperationTimedOut"}
_ACCESS_CODES = {"ExpiredToken", "InvalidToken"}  # S3 sends them with status 400
_BUSY = {429, 503}
_PASSING = {408, 425, 500, 502, 504}
_ADVICE = {
    401: "credentials are missing or wrong",
    403: "the credentials in use don't permit it, or have expired",
    404: "check the URL",
    407: "the proxy wants credentials: http://user:password@host:port",
    412: "the object was replaced while it was read",
}


def translate(error: Exception, url: str, offset: int) -> FetchError:
    """Our error for one of `FOREIGN` that was raised while bytes of `url` from `offset` [bytes] were asked for or read."""
    kind, message, retryable = _meaning(error)
    status = error.status if isinstance(error, aiohttp.ClientHttpProxyError) else None
    retry_for = _NO_NAME if _has_no_name(error) else None
    return kind(
        redact(message),
        url=url,
        offset=offset,
        retryable=retryable,
        status=status,
        retry_for=retry_for,
        unsound=_is_unsound(error),
    )


def _is_unsound(error: Exception) -> bool:
    return isinstance(error, aiohttp.ClientResponseError) and not isinstance(error, aiohttp.ClientHttpProxyError)


def _has_no_name(error: Exception) -> bool:
    """Whether there is no such host, as opposed to nobody who would know."""
    return isinstance(error, aiohttp.ClientConnectorDNSError) and error.os_error.errno in (socket.EAI_NONAME, _NO_DATA)


def _meaning(error: Exception) -> tuple[type[FetchError], str, bool]:  # noqa: PLR0911 - a table, most special first
    what = str(error) or type(error).__name__
    match error:
        case aiohttp.ClientConnectorCertificateError():
            cause = error.certificate_error
            return (
                FetchError,
                f"the server's certificate cannot be trusted ({cause}); name its authority in Http(ca_file=...)",
                False,
            )
        case aiohttp.ClientConnectorSSLError():
            return FetchError, f"TLS failed: {what}", True
        case aiohttp.ClientConnectorDNSError():
            return FetchError, f"no address was found for host {error.host!r}: {error.os_error}", True
        case aiohttp.ClientConnectorError():
            reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
            return FetchError, f"no connection to {error.host}:{error.port}: {reason}", True
        case aiohttp.ClientHttpProxyError():
            advice = f"; {_ADVICE[error.status]}" if error.status in _ADVICE else ""
            return FetchError, f"the proxy answered {error.status} {error.message}{advice}", error.status in _PASSING | _BUSY
        case aiohttp.ClientResponseError():
            return FetchError, f"the answer is no sound HTTP: {error.message.partition(chr(10))[0]}", True
        case TimeoutError():
            return FetchTimeoutError, what, True
        case aiohttp.ClientPayloadError():
            return ShortBodyError, f"the connection broke before the body's end: {what}", True
        case ValueError():
            return FetchError, f"this cannot be requested: {what}", False
        case _:
            return FetchError, f"the connection broke: {what}", True


def error_for(url: str, offset: int, status: int, headers: Mapping[str, str], page: bytes) -> FetchError:
    """Our error for an answer that is no success; `page` is the beginning of its body."""
    found = _CODE.search(page)
    code = found[1].decode() if found else None
    kind, retryable = _verdict(status, code)
    wait = retry_after(headers.get("Retry-After"), datetime.now(UTC))
    message = _describe(status, code, page) + ("; a folder of shards ends in a slash" if _may_be_folder(url, status, code) else "")
    return kind(message, url=url, offset=offset, status=status, retryable=retryable, retry_after=wait)


def _may_be_folder(url: str, status: int, code: str | None) -> bool:
    return status == 404 and code != "NoSuchBucket" and "." not in url.partition("?")[0].rpartition("/")[2]


def _verdict(status: int, code: str | None) -> tuple[type[FetchError], bool]:
    if status in _BUSY or code in _BUSY_CODES:
        return ThrottledError, True
    if status in _PASSING or code in _PASSING_CODES:
        return FetchError, True
    if code in _ACCESS_CODES:
        return AccessError, False
    kinds: dict[int, type[FetchError]] = {
        401: AccessError,
        403: AccessError,
        404: NotFoundError,
        410: NotFoundError,
        412: ChangedError,
    }
    return kinds.get(status, FetchError), False


def _describe(status: int, code: str | None, page: bytes) -> str:
    words = [code, redact(_message_in(page)), _ADVICE.get(status)]
    detail = "; ".join(word for word in words if word)
    return f"the server answered {status} {responses.get(status, '')}".rstrip() + (f": {detail}" if detail else "")


def _message_in(page: bytes) -> str:
    found = _MESSAGE.search(page)
    if found is None:
        return ""
    with suppress(ValueError):
        return str(json.loads(found[2])) if found[2] else found[1].decode("utf-8", "replace")
    return ""


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds [s] that a Retry-After header asks for (RFC 9110, 10.2.3: a number or a date), None if it says nothing sensible."""
    if value is None:
        return None
    if value.strip().isdecimal():
        # Python refuses to read more than 4300 digits; nobody waits for longer than nine digits say.
        return float(value.strip()[:9])
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())
