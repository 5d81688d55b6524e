"""`hf://datasets/USER/NAME@REVISION/PATH`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncwds.storage.stores.bucket import bucket
from asyncwds.storage.stores.hf.settings import HuggingFace

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.hf.store import HfStore


def _store(settings: HuggingFace, transport: Transport) -> HfStore:
    from asyncwds.storage.stores.hf.store import HfStore  # noqa: PLC0415 - on first use

    return HfStore(settings, transport)


SCHEMES = (bucket("hf", settings=HuggingFace(), make_store=_store, is_writable=False),)
