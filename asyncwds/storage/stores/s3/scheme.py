"""`s3://bucket/key`: its settings, and its record."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.units import GiB, MiB
from asyncwds.settings.access import Http, check_settings, pickle_without
from asyncwds.storage.scheme import Layers
from asyncwds.storage.stores.bucket import bucket

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.s3.store import S3Store


@dataclass(frozen=True, slots=True)
class S3:
    """How `s3://bucket/key` urls are read and written: Amazon's service and those that are compatible with it.

    What is left out comes from AWS's environment variables and files, credentials from all places that AWS's own tools know.

    endpoint        URL of the service, unless it is AWS: `https://storage.example:9000`
    region          of the buckets; where the service says that a bucket has another one, that is taken
    profile         of ~/.aws/config and ~/.aws/credentials
    anonymous       send requests unsigned
    requester_pays  agree to pay for what is read
    addressing      "path": https://endpoint/bucket/key; "virtual": https://bucket.endpoint/key; "auto": as the profile says, or
                    else "virtual" on AWS, for buckets whose name allows that, and "path" elsewhere
    access_key, secret_key, session_token
                    credentials
    get_keys        a function that returns such a triple (None where there is no session token), and may be pickled; called in a
                    thread, and again when the service refuses what it returned
    part_bytes      size [bytes] of the parts of an upload, at most 10000; four are in memory at a time
    verify          ask for the checksum of each shard, by one small request (HEAD) behind its first, to compare the bytes with
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    anonymous: bool = False
    requester_pays: bool = False
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    get_keys: Callable[[], tuple[str, str, str | None]] | None = field(default=None, repr=False)
    part_bytes: int = 16 * MiB
    verify: bool = True

    def __post_init__(self) -> None:
        check_settings(self, "anonymous", "access_key", "get_keys")
        if (self.access_key is None) != (self.secret_key is None):
            raise SpecError("S3: access_key and secret_key go together")
        checks.one_of("S3: addressing", self.addressing, ("auto", "path", "virtual"))
        checks.whole("S3: part_bytes", self.part_bytes, 5 * MiB, 5 * GiB)
        checks.flags(self, "requester_pays")
        checks.texts(self, "region", "profile", "session_token")

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle_without(self, "secret_key", "session_token")


def _store(settings: S3, transport: Transport) -> S3Store:
    from asyncwds.storage.stores.s3.store import S3Store  # noqa: PLC0415 - on first use

    return S3Store(settings, transport)


def _layers(settings: S3) -> Layers:
    return Layers(hedge=True, stated_checksums=settings.verify)


def http_for(settings: S3, http: Http) -> Http:
    """The certificates that AWS's own tools go by, unless others are given."""
    del settings
    ca_file = os.environ.get("AWS_CA_BUNDLE")
    return replace(http, ca_file=ca_file) if http.ca_file is None and ca_file else http


SCHEMES = (bucket("s3", settings=S3(), make_store=_store, layers=_layers, http_for=http_for),)
