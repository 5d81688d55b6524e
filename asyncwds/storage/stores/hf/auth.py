"""The token for the Hugging Face hub: HF_TOKEN, or what huggingface_hub (the extra `hf`) knows of logins. Blocks."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from asyncwds.errors import AccessError, redact
from asyncwds.storage.stores.auth import BearerToken, ExpiringToken, for_ever

if TYPE_CHECKING:
    from asyncwds.storage.stores.hf.scheme import HuggingFace


def find_token(settings: HuggingFace) -> ExpiringToken[BearerToken]:
    """Looked for anew: a login may have been renewed since the last time."""
    return ExpiringToken(BearerToken(_token(settings)), for_ever)


def knows_logins() -> bool:
    return find_spec("huggingface_hub") is not None


def _token(settings: HuggingFace) -> str | None:
    if settings.anonymous:
        return None
    if settings.get_token is not None:
        return settings.get_token()
    # Also without the library, which would look there first but for CI systems that ask for more.
    return settings.token or _login() or os.environ.get("HF_TOKEN") or None


def _login() -> str | None:
    if not knows_logins():
        return None
    from huggingface_hub import get_token  # noqa: PLC0415 - 300 ms

    try:
        token: str | None = get_token()
    except Exception as error:  # it asks servers, with a library that is its own affair
        raise AccessError(f"huggingface_hub cannot get a token: {redact(str(error))}") from error
    return token
