"""Which account of Azure Blob Storage is meant, and who asks: settings, connection strings, environment, azure-identity. Blocks.

Sources: "Configure Azure Storage connection strings", "Authorize with Shared Key" (2015-02-21 and later).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

from asyncwds.errors import AccessError, SpecError, redact
from asyncwds.runtime.extras import require_extra
from asyncwds.storage.stores.auth import ExpiringToken, for_ever

if TYPE_CHECKING:
    from asyncwds.storage.stores.azure.scheme import Azure

Way = Literal["key", "sas", "token", "anonymous"]

_SUFFIX = "core.windows.net"
_SCOPE = "https://storage.azure.com/.default"
# Azurite's, which its documentation publishes: "Use the Azurite emulator".
_EMULATOR = {
    "AccountName": "devstoreaccount1",
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}
_SIGNED_HEADERS = (
    "Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date",
    "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
)  # fmt: skip


class Login(NamedTuple):
    """`account` and `endpoint` are those of urls that name no account. `secret` is a key, a SAS or a token, as `way` says."""

    account: str | None
    endpoint: str | None
    suffix: str
    way: Way
    secret: str = ""

    def __repr__(self) -> str:
        return f"Login({self.account}, {self.way})"


def login(settings: Azure) -> ExpiringToken[Login]:
    """All of it looked for anew. Raises SpecError for what makes no sense or without azure-identity, AccessError for no token."""
    known = _connection(settings)
    endpoint = (settings.endpoint or known.get("BlobEndpoint") or "").rstrip("/") or None
    named = None if endpoint is None else _account_of(endpoint)
    account = settings.account or known.get("AccountName") or named or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    way, secret, ends_within = _way(settings, known)
    return ExpiringToken(Login(account, endpoint, known.get("EndpointSuffix", _SUFFIX), way, secret), ends_within)


def shared_key(account: str, key: str, method: str, url: str, headers: Mapping[str, str]) -> str:
    """The Authorization header for a request that is sent with exactly these headers, but for ones that the service ignores."""
    parts = urlsplit(url)
    given = {name.lower(): value for name, value in headers.items()}
    signed = [given.get(name.lower(), "") for name in _SIGNED_HEADERS]
    if signed[2] == "0":
        signed[2] = ""
    ours = sorted(f"{name}:{' '.join(value.split())}" for name, value in given.items() if name.startswith("x-ms-"))
    query = [f"{name.lower()}:{value}" for name, value in sorted(parse_qsl(parts.query, keep_blank_values=True))]
    text = "\n".join([method, *signed, *ours, f"/{account}{parts.path}", *query])
    try:
        secret = base64.b64decode(key, validate=True)
    except ValueError as error:
        raise SpecError("the key of an Azure account is base64; this one is not") from error
    return f"SharedKey {account}:{base64.b64encode(hmac.digest(secret, text.encode(), hashlib.sha256)).decode()}"


def _account_of(endpoint: str) -> str:
    """Raises SpecError for what is no URL."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SpecError("the endpoint of an Azure account is a URL such as https://ACCOUNT.blob.core.windows.net", url=endpoint)
    # Emulators, which have no host name for each account, have it in the path.
    return parts.path.strip("/") or parts.hostname.partition(".")[0]


def _connection(settings: Azure) -> dict[str, str]:
    """The parts of the connection string: that of the environment only for what the settings leave open."""
    text = settings.connection_string or os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    parts = dict(part.partition("=")[::2] for part in text.split(";") if part.strip())
    if "" in parts.values():
        raise SpecError("an Azure connection string is NAME=VALUE;NAME=VALUE; this one is not")
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return _EMULATOR
    if settings.connection_string is None and settings.account not in (None, parts.get("AccountName")):
        return {}
    if "AccountName" in parts and "BlobEndpoint" not in parts:
        protocol, suffix = parts.get("DefaultEndpointsProtocol", "https"), parts.get("EndpointSuffix", _SUFFIX)
        parts["BlobEndpoint"] = f"{protocol}://{parts['AccountName']}.blob.{suffix}"
    return parts


def _way(settings: Azure, known: Mapping[str, str]) -> tuple[Way, str, Callable[[float], bool]]:
    if settings.anonymous:
        return "anonymous", "", for_ever
    if settings.get_token is not None:
        token, ends = settings.get_token()
        return "token", token, partial(_ends_within, ends)
    for way, secret in (
        ("key", settings.account_key),
        ("sas", settings.sas_token),
        ("key", known.get("AccountKey")),
        ("sas", known.get("SharedAccessSignature")),
        ("key", os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or os.environ.get("AZURE_STORAGE_KEY")),
        ("sas", os.environ.get("AZURE_STORAGE_SAS_TOKEN")),
    ):
        if secret:
            return cast("Way", way), secret.removeprefix("?"), for_ever
    return _identity()


def _identity() -> tuple[Way, str, Callable[[float], bool]]:
    identity = require_extra("azure.identity", "azure")
    exceptions = require_extra("azure.core.exceptions", "azure")
    try:
        with identity.DefaultAzureCredential() as credential:
            found = credential.get_token(_SCOPE)
    except exceptions.AzureError as error:
        said = redact(" ".join(str(error).split())[:500])
        raise AccessError(
            f"no Azure credentials were found ({said}); public containers are read with storage=Azure(anonymous=True)"
        ) from error
    return "token", found.token, partial(_ends_within, found.expires_on)


def _ends_within(ends: float, seconds: float) -> bool:
    return time.time() + seconds > ends
