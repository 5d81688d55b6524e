"""`hf://datasets/USER/NAME@REVISION/PATH`: its settings, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncwds.settings.access import check_settings, pickle_without
from asyncwds.storage.stores.bucket import bucket

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.hf.store import HfStore


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """How `hf://datasets/USER/NAME@REV/PATH` urls are read (models without a first word, `hf://spaces/…`).

    endpoint   URL of the hub; else HF_ENDPOINT, or https://huggingface.co
    token      in place of the one that huggingface_hub finds (HF_TOKEN, `hf auth login`)
    get_token  a function that returns a token, and may be pickled; called in a thread, and again when the hub refuses the token
    anonymous  show no token, though there is one
    """

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    get_token: Callable[[], str] | None = field(default=None, repr=False)
    anonymous: bool = False

    def __post_init__(self) -> None:
        check_settings(self, "token", "get_token", "anonymous")

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle_without(self, "token")


def _store(settings: HuggingFace, transport: Transport) -> HfStore:
    from asyncwds.storage.stores.hf.store import HfStore  # noqa: PLC0415 - on first use

    return HfStore(settings, transport)


SCHEMES = (bucket("hf", settings=HuggingFace(), make_store=_store, is_writable=False),)
