"""`ais://bucket/object`."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from asyncwds.settings.access import Http
from asyncwds.storage.scheme import Layers
from asyncwds.storage.stores.ais.settings import AIStore
from asyncwds.storage.stores.bucket import bucket

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.ais.store import AisStore


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
