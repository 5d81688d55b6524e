"""`gs://bucket/object`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncwds.storage.stores.bucket import bucket
from asyncwds.storage.stores.gcs.settings import GCS

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.gcs.store import GcsStore


def _store(settings: GCS, transport: Transport) -> GcsStore:
    from asyncwds.storage.stores.gcs.store import GcsStore  # noqa: PLC0415 - on first use

    return GcsStore(settings, transport)


SCHEMES = (bucket("gs", settings=GCS(), make_store=_store),)
