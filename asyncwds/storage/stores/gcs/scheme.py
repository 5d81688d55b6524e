"""`gs://bucket/object`: its settings, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.units import KiB, MiB
from asyncwds.settings.access import Expiring, check_settings
from asyncwds.storage.stores.bucket import bucket

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.gcs.store import GcsStore


@dataclass(frozen=True, slots=True)
class GCS:
    """How `gs://` urls are read and written. Credentials are found by google-auth, as by Google's own tools.

    endpoint          URL of the service; else STORAGE_EMULATOR_HOST, or https://storage.googleapis.com
    credentials_file  in place of the one that GOOGLE_APPLICATION_CREDENTIALS names
    get_token         a function that returns an access token and its end [s since 1970], and may be pickled; called in a thread
    anonymous         send requests without credentials, as is always done with an emulator
    user_project      project that pays for requests to buckets whose requester pays
    part_bytes        size [bytes] of the parts of an upload, a multiple of 256 KiB
    """

    endpoint: str | None = None
    credentials_file: str | None = None
    get_token: Callable[[], Expiring] | None = field(default=None, repr=False)
    anonymous: bool = False
    user_project: str | None = None
    part_bytes: int = 16 * MiB

    def __post_init__(self) -> None:
        check_settings(self, "credentials_file", "get_token", "anonymous")
        checks.texts(self, "user_project")
        if checks.whole("GCS: part_bytes", self.part_bytes, 1) % (256 * KiB):
            raise SpecError(f"GCS: part_bytes must be a multiple of 256 KiB: {self.part_bytes!r}")


def _store(settings: GCS, transport: Transport) -> GcsStore:
    from asyncwds.storage.stores.gcs.store import GcsStore  # noqa: PLC0415 - on first use

    return GcsStore(settings, transport)


SCHEMES = (bucket("gs", settings=GCS(), make_store=_store),)
