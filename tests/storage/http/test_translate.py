"""Refusals and foreign errors become ours. What aiohttp really raises is tested in test_faults_http.py."""

from datetime import UTC, datetime

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncwds.errors import AccessError, ChangedError, FetchError, NotFoundError, ThrottledError
from asyncwds.storage.http.translate import error_for, retry_after, translate

URL = "http://host/a.tar"
NOW = datetime(2015, 10, 21, 7, 28, tzinfo=UTC)


def page(code: str, message: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "kind", "retryable"),
    [
        (400, "", FetchError, False),
        (400, "RequestTimeout", FetchError, True),
        (400, "ExpiredToken", AccessError, False),
        (401, "", AccessError, False),
        (403, "AccessDenied", AccessError, False),
        (403, "RequestTimeTooSkewed", AccessError, False),
        (404, "NoSuchKey", NotFoundError, False),
        (408, "", FetchError, True),
        (410, "", NotFoundError, False),
        (412, "PreconditionFailed", ChangedError, False),
        (425, "", FetchError, True),
        (429, "", ThrottledError, True),
        (500, "InternalError", FetchError, True),
        (500, "OperationTimedOut", FetchError, True),
        (501, "", FetchError, False),
        (502, "", FetchError, True),
        (503, "SlowDown", ThrottledError, True),
        (503, "ServerBusy", ThrottledError, True),
        (504, "", FetchError, True),
        (599, "", FetchError, False),
    ],
)
def test_statuses_and_codes(status: int, code: str, kind: type[FetchError], retryable: bool) -> None:
    error = error_for(URL, 7, status, {}, page(code))
    assert (type(error), error.retryable, error.status, error.url, error.offset) == (kind, retryable, status, URL, 7)
    assert str(status) in str(error)
    assert code in str(error)


def test_the_servers_own_words_are_passed_on() -> None:
    assert "Invalid according to Policy: Policy expired." in str(
        error_for(URL, 0, 403, {}, page("AccessDenied", "Invalid according to Policy: Policy expired."))
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 10_000, 999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:29:00 GMT", 60.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:29:00 -0000", 60.0),
        ("Wed, 21 Oct 99999 07:29:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text() | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ .*"))
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("foreign", "retryable"),
    [
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), True),
        (aiohttp.ClientPayloadError("cut"), True),
        (aiohttp.ServerTimeoutError(), True),
        (aiohttp.InvalidURL("http://host/?sig=secret"), False),
        (ConnectionResetError(), True),
        (ValueError("Newline in headers"), False),
    ],
)
def test_foreign_errors(foreign: Exception, retryable: bool) -> None:
    error = translate(foreign, URL, 7)
    assert (error.retryable, error.url, error.offset) == (retryable, URL, 7)
    assert "secret" not in str(error)
