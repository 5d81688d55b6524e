"""`az://container/blob` and `abfs[s]://container@account.dfs.core.windows.net/blob`: its settings, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncwds import checks
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Expiring, check_settings, pickle_without
from asyncwds.storage.stores.bucket import bucket

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.azure.store import AzureStore


@dataclass(frozen=True, slots=True)
class Azure:
    """How `az://container/path` and `abfs[s]://container@account.dfs.core.windows.net/path` urls are read and written.

    The first of these counts that is given: `account_key`, `sas_token`, `get_token`, `anonymous`, then what the connection string
    holds, then AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_KEY, then AZURE_STORAGE_SAS_TOKEN, then what azure-identity finds.

    account            name of the storage account; a url that names one goes before it; else AZURE_STORAGE_ACCOUNT_NAME
    endpoint           URL of its blob service; else https://ACCOUNT.blob.core.windows.net
    connection_string  as the portal shows it; else AZURE_STORAGE_CONNECTION_STRING
    get_token          a function that returns an access token and its end [s since 1970], and may be pickled; called in a thread
    anonymous          send requests without credentials: for public containers
    part_bytes         size [bytes] of the blocks of an upload, at most 50000; four are in memory at a time
    """

    account: str | None = None
    endpoint: str | None = None
    connection_string: str | None = field(default=None, repr=False)
    account_key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)
    get_token: Callable[[], Expiring] | None = field(default=None, repr=False)
    anonymous: bool = False
    part_bytes: int = 16 * MiB

    def __post_init__(self) -> None:
        check_settings(self, "account_key", "sas_token", "get_token", "anonymous", "connection_string")
        checks.whole("Azure: part_bytes", self.part_bytes, 1, 4000 * MiB)
        checks.texts(self, "account")

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle_without(self, "connection_string", "account_key", "sas_token")


def _store(settings: Azure, transport: Transport) -> AzureStore:
    from asyncwds.storage.stores.azure.store import AzureStore  # noqa: PLC0415 - on first use

    return AzureStore(settings, transport)


SCHEMES = (bucket("az", "abfs", "abfss", settings=Azure(), make_store=_store),)
