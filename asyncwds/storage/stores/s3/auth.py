"""Where S3 is and who asks: what botocore makes of the environment, profiles, SSO, web identity and metadata services. Blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from asyncwds.errors import AccessError, SpecError, WdsError, redact
from asyncwds.runtime.extras import require_extra
from asyncwds.storage.object_store import StoreRequest, StoreResponse
from asyncwds.storage.stores.auth import ExpiringToken, for_ever

if TYPE_CHECKING:
    from asyncwds.storage.stores.s3.scheme import S3

DEFAULT_REGION = "us-east-1"
FIPS, ACCELERATED = "s3-fips", "s3-accelerate"


class Keys(NamedTuple):
    """Credentials, under the names that botocore's signer uses."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "Keys(***)"


class Login(NamedTuple):
    """`endpoint` is None for AWS, `keys` for anonymous requests. `service`: how the names of AWS's hosts begin."""

    endpoint: str | None
    region: str
    addressing: str
    keys: Keys | None
    service: str = "s3"


def login(settings: S3) -> ExpiringToken[Login]:
    """All of it read anew, files and environment included: they may have changed since the last time.

    Raises SpecError for settings that make no sense or without botocore, AccessError if there are no credentials.
    """
    exceptions = require_extra("botocore.exceptions", "s3")
    try:
        return _login(settings)
    except WdsError:
        raise
    except (exceptions.ProfileNotFound, exceptions.ConfigParseError, exceptions.InvalidConfigError) as error:
        raise SpecError(f"AWS's configuration cannot be used: {error}") from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise AccessError(
            f"the service that gives AWS credentials cannot be reached: {_message_of(error)}", retryable=True
        ) from error
    except (exceptions.BotoCoreError, exceptions.ClientError, RuntimeError, ValueError, OSError) as error:
        raise AccessError(f"AWS credentials cannot be had: {_message_of(error)}") from error


def _login(settings: S3) -> ExpiringToken[Login]:
    session = require_extra("botocore.session", "s3").Session(profile=settings.profile)
    keys, ends_within = _keys(settings, session)
    styles = session.get_scoped_config().get("s3") or {}
    style = styles.get("addressing_style", "auto") if isinstance(styles, dict) else "auto"
    return ExpiringToken(
        Login(
            endpoint=_check_endpoint(settings.endpoint or _configured_endpoint(session)),
            region=settings.region or os.environ.get("AWS_REGION") or session.get_config_variable("region") or DEFAULT_REGION,
            addressing=style if settings.addressing == "auto" else settings.addressing,
            keys=keys,
            service=_service(session),
        ),
        ends_within,
    )


def _keys(settings: S3, session: Any) -> tuple[Keys | None, Callable[[float], bool]]:
    if settings.anonymous:
        return None, for_ever
    if settings.get_keys is not None:
        return _call_get_keys(settings.get_keys), for_ever
    if settings.access_key is not None and settings.secret_key is not None:
        return Keys(settings.access_key, settings.secret_key, settings.session_token), for_ever
    credentials = session.get_credentials()
    if credentials is None:
        raise AccessError(
            "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile; public buckets are "
            "read with storage=S3(anonymous=True), on the command line --anonymous"
        )
    frozen = credentials.get_frozen_credentials()
    # Only credentials that end have it.
    return Keys(frozen.access_key, frozen.secret_key, frozen.token), getattr(credentials, "refresh_needed", for_ever)


def _call_get_keys(get_keys: Callable[[], tuple[str, str, str | None]]) -> Keys:
    try:
        return Keys(*get_keys())
    except Exception as error:
        raise AccessError(f"S3(get_keys=...) failed: {error!r}") from error


def _configured_endpoint(session: Any) -> str | None:
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    provider = require_extra("botocore.configprovider", "s3").ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="s3"
    )
    found: str | None = provider.provide()
    return found


def _service(session: Any) -> str:
    """For FIPS, dual-stack and acceleration, where the environment or the profile asks for them."""
    wanted = session.get_config_variable("s3") or {}
    fips, accelerate = session.get_config_variable("use_fips_endpoint"), wanted.get("use_accelerate_endpoint")
    if fips and accelerate:
        raise SpecError("S3 has no accelerated FIPS endpoints: use_fips_endpoint and use_accelerate_endpoint exclude each other")
    dualstack = session.get_config_variable("use_dualstack_endpoint") or wanted.get("use_dualstack_endpoint")
    kind = FIPS if fips else ACCELERATED if accelerate else "s3"
    return f"{kind}.dualstack" if dualstack else kind


def _check_endpoint(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise SpecError("an S3 endpoint is a URL such as https://storage.example:9000", url=endpoint)
    return endpoint.rstrip("/")


def _message_of(error: Exception) -> str:
    return redact(str(error)).strip()


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
