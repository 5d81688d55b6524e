"""Which settings hold for which url, and which store they make. Stores bring aiohttp and their vendor's library: on first use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from asyncwds.errors import SpecError
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.security import secure_mode
from asyncwds.settings.buckets import GCS, S3, AIStore, Azure, Command, FileSystem, HuggingFace
from asyncwds.settings.http import Http

if TYPE_CHECKING:
    from asyncwds.storage.http.transport import Transport
    from asyncwds.storage.object_store import ObjectStore

Settings = S3 | GCS | Azure | HuggingFace | AIStore | FileSystem | Command
Storage = Mapping[str, Settings]
"""URL prefix → settings for the urls that begin with it; the longest one counts."""

# scheme → settings that hold unless others are given
_AZURE = Azure()
SCHEMES: dict[str, Settings] = {
    "s3": S3(),
    "gs": GCS(),
    "az": _AZURE,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "hf": HuggingFace(),
    "ais": AIStore(),
}
# settings → module and class of the store: called with the settings and a `Transport`
_STORES: dict[type, tuple[str, str]] = {
    S3: ("asyncwds.storage.stores.s3.store", "S3Store"),
    GCS: ("asyncwds.storage.stores.gcs.store", "GcsStore"),
    Azure: ("asyncwds.storage.stores.azure.store", "AzureStore"),
    HuggingFace: ("asyncwds.storage.stores.hf.store", "HfStore"),
    AIStore: ("asyncwds.storage.stores.ais.store", "AisStore"),
    FileSystem: ("asyncwds.storage.fsspec.store", "FsspecStore"),  # which can do no more than list
}
_FILE_SYSTEM = FileSystem()


def schemes() -> tuple[str, ...]:
    """Schemes that have a store of their own."""
    return tuple(SCHEMES)


def as_storage(storage: Storage | Settings | None) -> Storage:
    """`S3(...)` alone is short for `{"s3://": S3(...)}`, and `Command(...)` for `{"pipe:": Command(...)}`.

    Raises SpecError for anything else that is no mapping to settings.
    """
    if storage is None:
        return {}
    if not isinstance(storage, Mapping):
        schemes_of = {f"{scheme}://": known for scheme, known in SCHEMES.items()} | {"pipe:": Command()}
        storage = {prefix: storage for prefix, known in schemes_of.items() if type(known) is type(storage)}
    if not storage or any(type(settings) not in {*_STORES, Command} for settings in storage.values()):
        known = ", ".join(kind.__name__ for kind in (*_STORES, Command))
        raise SpecError(f"storage must be one of {known}, or a dict of such by URL prefix")
    if wrong := [prefix for prefix, settings in storage.items() if isinstance(settings, Command) != prefix.startswith("pipe:")]:
        raise SpecError(f"storage: Command is for urls that begin with pipe:, and nothing else is: {wrong[0]!r}")
    return dict(storage)


def settings_for(url: str, storage: Storage) -> Settings | None:
    """The settings for a url; None for urls that need no store, commands among them."""
    if url.startswith("pipe:"):
        return None
    given = _given_for(url, storage)
    if given is not None:
        return given
    scheme, _, rest = url.partition(":")
    if scheme.lower() in os.environ.get("USE_AIS_FOR", "").lower().split(":"):
        return settings_for(f"ais:{rest}", storage)
    if scheme.lower() in SCHEMES:
        return SCHEMES[scheme.lower()]
    return _FILE_SYSTEM if rest.startswith("//") and is_foreign(scheme.lower()) else None


def command_for(url: str, storage: Storage) -> Command:
    """The settings for a `pipe:` url."""
    given = _given_for(url, storage)
    return given if isinstance(given, Command) else Command()


def _given_for(url: str, storage: Storage) -> Settings | None:
    """The settings of the longest prefix that fits; None if none does."""
    prefix = max((prefix for prefix in storage if url.startswith(prefix)), key=len, default=None)
    return None if prefix is None else storage[prefix]


def is_foreign(scheme: str) -> bool:
    """Whether fsspec has a file system for it, and nobody else. In secure mode it is not asked: it reads local files too."""
    if scheme in ("http", "https", "file", "pipe", "-") or secure_mode():
        return False
    from asyncwds.storage.fsspec.store import knows  # noqa: PLC0415 - asyncio, which plans and urls do not need

    return knows(scheme)


def why_not(scheme: str) -> str:
    """What to add where a scheme is not known."""
    try:
        registry = require_extra("fsspec.registry", "fsspec")
    except SpecError:
        return "; pip install 'asyncwds[fsspec]' for others"
    wants = registry.known_implementations.get(scheme, {}).get("err")
    return f"; {wants}" if wants else ""


def store_maker(settings: Settings) -> Callable[[Transport], ObjectStore]:
    module, name = _STORES[type(settings)]
    kind: Callable[[Any, Transport], ObjectStore] = getattr(import_module(module), name)
    return partial(kind, settings)


def http_for(settings: Settings, http: Http) -> Http:
    """How requests are made to a store, where its vendor's environment has a say in that."""
    if type(settings) is S3 and http.ca_file is None and os.environ.get("AWS_CA_BUNDLE"):
        return replace(http, ca_file=os.environ["AWS_CA_BUNDLE"])
    if type(settings) is AIStore:
        names = os.environ.get("AIS_CRT"), os.environ.get("AIS_CRT_KEY")
        client_cert = http.client_cert or ((names[0], names[1]) if names[0] and names[1] else None)
        return replace(http, ca_file=http.ca_file or os.environ.get("AIS_CLIENT_CA"), client_cert=client_cert)
    return http
