"""Where S3 is and who asks: what botocore makes of the environment, profiles, SSO, web identity and metadata services. Blocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from asyncwds.errors import AccessError, SpecError, WdsError, redact
from asyncwds.runtime.extras import require_extra
from asyncwds.storage.stores.s3.settings import S3
from asyncwds.storage.stores.token_cache import ExpiringToken, for_ever

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
