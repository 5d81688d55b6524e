"""Access tokens for Google Cloud Storage: what google-auth (the extra `gcs`) makes of files and metadata services. Blocks."""

from __future__ import annotations

import time
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncwds.errors import AccessError, redact
from asyncwds.runtime.extras import require_extra
from asyncwds.storage.stores.auth import ExpiringToken, for_ever

if TYPE_CHECKING:
    from asyncwds.storage.stores.gcs.scheme import GCS

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


class Token(NamedTuple):
    """`value` is None for anonymous requests; `quota_project` pays where the credentials say so."""

    value: str | None
    quota_project: str | None = None

    def __repr__(self) -> str:
        return "Token(***)"

    def headers(self) -> dict[str, str]:
        known = {"Authorization": self.value and f"Bearer {self.value}", "x-goog-user-project": self.quota_project}
        return {name: value for name, value in known.items() if value}


ANONYMOUS = ExpiringToken(Token(None), for_ever)


class TokenFinder:
    """Finds the credentials once, and gets a token at every request. Raises AccessError, or SpecError without google-auth."""

    def __init__(self, settings: GCS) -> None:
        self._settings = settings
        self._credentials: Any = None

    def __call__(self) -> ExpiringToken[Token]:
        if self._settings.get_token is not None:
            value, ends = self._settings.get_token()
            return ExpiringToken(Token(value), partial(_ends_within, ends))
        exceptions = require_extra("google.auth.exceptions", "gcs")
        try:
            return self._refresh()
        except exceptions.DefaultCredentialsError as error:
            raise AccessError(
                f"no Google credentials were found ({redact(str(error))}); public buckets are read with storage=GCS(anonymous=True)"
            ) from error
        except exceptions.GoogleAuthError as error:
            retryable = getattr(error, "retryable", False) or isinstance(error, exceptions.TransportError)
            raise AccessError(f"Google gives no token: {redact(str(error))}", retryable=retryable) from error

    def _refresh(self) -> ExpiringToken[Token]:
        require_extra("requests", "gcs")
        transport = require_extra("google.auth.transport.requests", "gcs")
        if self._credentials is None:
            self._credentials = self._find()
        request = transport.Request()
        try:
            self._credentials.refresh(request)
        finally:
            request.session.close()
        expiry = self._credentials.expiry
        ends_within = for_ever if expiry is None else partial(_ends_within, expiry.replace(tzinfo=UTC).timestamp())
        return ExpiringToken(Token(self._credentials.token, getattr(self._credentials, "quota_project_id", None)), ends_within)

    def _find(self) -> Any:
        auth = require_extra("google.auth", "gcs")
        if self._settings.credentials_file is not None:
            return auth.load_credentials_from_file(self._settings.credentials_file, scopes=[_SCOPE])[0]
        return auth.default(scopes=[_SCOPE])[0]


def _ends_within(ends: float, seconds: float) -> bool:
    return time.time() + seconds > ends
