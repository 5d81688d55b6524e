"""Signatures for S3: the arithmetic is botocore's, in the steps of its own `add_auth`.

That one would write what it signs into botocore's log, session tokens included, and takes the time from this machine's clock alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from asyncwds.runtime.extras import require_extra
from asyncwds.storage.object_store import StoreRequest, StoreResponse
from asyncwds.storage.stores.s3.auth import Login

_TIME = "%Y%m%dT%H%M%SZ"
_SKEWED = b"<Code>RequestTimeTooSkewed</Code>"
_LEAST_SKEW = 60.0  # [s]: services allow a quarter of an hour; less than this cannot be what one complains of


class SigningContext(NamedTuple):
    """`ahead`: by how much [s] the service's clock is ahead of this machine's, as far as that is known."""

    login: Login
    region: str
    ahead: float = 0.0


def authorize(request: StoreRequest, url: str, headers: Mapping[str, str], context: SigningContext, now: float) -> dict[str, str]:
    """The headers, and those that say who asks. `now` [s since 1970] is this machine's time."""
    keys = context.login.keys
    assert keys is not None
    auth = require_extra("botocore.auth", "s3").S3SigV4Auth(keys, "s3", context.region)
    # Google's front ends, for one, change Accept-Encoding on the way: signed, it would not verify.
    covered = {name: value for name, value in headers.items() if name != "Accept-Encoding"}
    covered["X-Amz-Date"] = datetime.fromtimestamp(now + context.ahead, UTC).strftime(_TIME)
    if keys.token:
        covered["X-Amz-Security-Token"] = keys.token
    aws_request = require_extra("botocore.awsrequest", "s3").AWSRequest(request.method, url, covered, request.body)
    aws_request.context["timestamp"] = covered["X-Amz-Date"]
    covered["X-Amz-Content-SHA256"] = aws_request.headers["X-Amz-Content-SHA256"] = auth.payload(aws_request)
    signature = auth.signature(auth.string_to_sign(aws_request, auth.canonical_request(aws_request)), aws_request)
    names = auth.signed_headers(auth.headers_to_sign(aws_request))
    who = f"AWS4-HMAC-SHA256 Credential={auth.scope(aws_request)}, SignedHeaders={names}, Signature={signature}"
    return {**headers, **covered, "Authorization": who}


def is_skewed(response: StoreResponse) -> bool:
    """Whether a request was refused because clocks differ."""
    return response.status == 403 and _SKEWED in response.page


def clock_ahead(response: StoreResponse, now: float, before: float) -> float | None:
    """By how much [s] the service's clock is ahead of `now`, if that is news after `before`; None also if it does not say."""
    if not is_skewed(response):
        return None
    try:
        ahead = parsedate_to_datetime(response.headers.get("Date", "")).timestamp() - now
    except ValueError:
        return None
    return ahead if abs(ahead - before) > _LEAST_SKEW else None
