"""`s3://bucket/key`."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from asyncwds.settings.access import Http
from asyncwds.storage.scheme import Layers
from asyncwds.storage.stores.bucket import bucket
from asyncwds.storage.stores.s3.settings import S3

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.stores.s3.store import S3Store


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
