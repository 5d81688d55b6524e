"""`az://container/blob` and `abfs[s]://container@account.dfs.core.windows.net/blob`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncwds.storage.stores.azure.settings import Azure
from asyncwds.storage.stores.bucket import bucket

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.azure.store import AzureStore


def _store(settings: Azure, transport: Transport) -> AzureStore:
    from asyncwds.storage.stores.azure.store import AzureStore  # noqa: PLC0415 - on first use

    return AzureStore(settings, transport)


SCHEMES = (bucket("az", "abfs", "abfss", settings=Azure(), make_store=_store),)
