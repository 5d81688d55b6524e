"""`ais://bucket/object`: its settings, and its record."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from asyncwds import checks
from asyncwds.runtime.units import MiB
from asyncwds.settings.access import Http, check_settings, pickle_without
from asyncwds.storage.scheme import Layers
from asyncwds.storage.stores.bucket import bucket

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.ais.store import AisStore


@dataclass(frozen=True, slots=True)
class AIStore:
    """How `ais://bucket/object` urls are read and written, and those of the schemes in USE_AIS_FOR.

    endpoint   URL of a gateway; else AIS_ENDPOINT, or http://localhost:8080
    token      of the cluster's authentication service; else AIS_AUTHN_TOKEN
    get_token  a function that returns one, and may be pickled; called in a thread, and again when the gateway refuses the token
    verify     read each shard as one stream, and take none that cannot be compared with a checksum that the cluster keeps.
               Otherwise shards are read in parts, many at once, and compared where that is possible and nothing is cached
    part_bytes size [bytes] of the parts of an upload, four of which are in memory at a time. What fits into one is put in one
               go; clusters before AIStore 4.0 know no other way
    """

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    get_token: Callable[[], str] | None = field(default=None, repr=False)
    verify: bool = False
    part_bytes: int = 16 * MiB

    def __post_init__(self) -> None:
        check_settings(self, "token", "get_token")
        checks.whole("AIStore: part_bytes", self.part_bytes, 1)
        checks.flags(self, "verify")

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle_without(self, "token")


def _store(settings: AIStore, transport: Transport) -> AisStore:
    from asyncwds.storage.stores.ais.store import AisStore  # noqa: PLC0415 - on first use

    return AisStore(settings, transport)


def _layers(settings: AIStore) -> Layers:
    return Layers(hedge=True, checksum="required" if settings.verify else "optional", hints=True)


def http_for(settings: AIStore, http: Http) -> Http:
    """The certificates that AIStore's own tools go by, unless others are given."""
    del settings
    names = os.environ.get("AIS_CRT"), os.environ.get("AIS_CRT_KEY")
    client_cert = http.client_cert or ((names[0], names[1]) if names[0] and names[1] else None)
    return replace(http, ca_file=http.ca_file or os.environ.get("AIS_CLIENT_CA"), client_cert=client_cert)


SCHEMES = (bucket("ais", settings=AIStore(), make_store=_store, layers=_layers, http_for=http_for, has_query=True),)
