"""Settings of `gs://`: plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.units import KiB, MiB
from asyncwds.settings.credentials import Expiring, check_settings


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
