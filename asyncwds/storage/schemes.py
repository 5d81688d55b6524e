"""Which scheme a url has: `find` looks among those that were registered, our own, and those of other packages, in this order.

What users give as `storage=` goes before all: by a url's prefix, whatever its scheme. Last comes fsspec, for what it knows.

Those of other packages are their entry points in the group `asyncwds.schemes`, looked for when a scheme is not known otherwise:

[project.entry-points."asyncwds.schemes"]
foo = "foo_store:SCHEME"
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.security import is_allowed_by_name, secure_mode
from asyncwds.settings.access import Access, Http, Retry, Settings, Storage
from asyncwds.shards.urls import scheme_of
from asyncwds.storage import fsspec, local, stores
from asyncwds.storage.fsspec.scheme import SCHEMES as FSSPEC
from asyncwds.storage.fsspec.scheme import knows
from asyncwds.storage.local.scheme import SCHEMES as LOCAL
from asyncwds.storage.scheme import Scheme

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


_registered: dict[str, Scheme] = {}
_HTTP, _RETRY = Http(), Retry()  # unless somebody gives others


class SchemeMatch(NamedTuple):
    """What urls are opened with."""

    scheme: Scheme
    settings: Settings | None

    @property
    def key(self) -> tuple[Scheme, int]:
        """The same for all urls that one reader, sink or lister serves."""
        return self.scheme, id(self.settings)


def register_scheme(scheme: Scheme) -> Callable[[], None]:
    """Has the urls of `scheme.names` opened as the record says, in this process; returns a function that takes that back.

    Registered schemes go before all others. Workers that are forked have them; those that are spawned import a package that has
    them as an entry point of the group `asyncwds.schemes`, or register them when they start.
    """
    checks.instance("register_scheme: scheme", scheme, Scheme)
    added = dict.fromkeys(scheme.names, scheme)
    _registered.update(added)

    def unregister() -> None:
        for name in added:
            if _registered.get(name) is scheme:
                del _registered[name]

    return unregister


@cache
def own_schemes() -> Mapping[str, Scheme]:
    """Our own records, by name."""
    return {name: scheme for scheme in _own() for name in scheme.names}


def _own_scheme(name: str) -> Scheme | None:
    """Of this machine first: whoever reads and writes no more than that does without the settings of stores."""
    return next((scheme for scheme in LOCAL if name in scheme.names), None) or own_schemes().get(name)


def scheme_named(name: str) -> Scheme | None:
    """The record of a scheme; see `asyncwds.shards.urls.scheme_of`."""
    found = _registered.get(name) or _own_scheme(name) or scheme_of_package(name)
    if found is None and knows(name):
        return FSSPEC[0]
    return found


def added_scheme(name: str) -> Scheme | None:
    """The record of a scheme that was registered, or that another package adds."""
    return _registered.get(name) or (None if _own_scheme(name) is not None else scheme_of_package(name))


def find(url: str, storage: Storage) -> SchemeMatch | None:
    """What opens a url; None where nothing does."""
    name = scheme_of(url)
    given = _given_for(url, storage)
    if given is not None and _only_for(name, scheme := _scheme_of_settings(given)) is None:
        return SchemeMatch(scheme, given)
    if name != "ais" and name in os.environ.get("USE_AIS_FOR", "").lower().split(":"):
        return find(f"ais:{url.partition(':')[2]}", storage)
    found = scheme_named(name)
    if found is None or (not found.names and "://" not in url):
        return None
    return SchemeMatch(found, found.settings)


def known_names(can: Callable[[Scheme], object] = lambda _: True) -> str:
    """For errors: the schemes of the records that can do something, those of other packages left out."""
    known = {**own_schemes(), **_registered}
    return ", ".join(f"{name}:" for name, scheme in known.items() if name != "-" and can(scheme))


def as_storage(storage: Storage | Settings | None) -> Storage:
    """`S3(...)` alone is short for `{"s3://": S3(...)}`, and `Command(...)` for `{"pipe:": Command(...)}`.

    Raises SpecError for anything else that is no mapping to settings.
    """
    if storage is None:
        return {}
    if not isinstance(storage, Mapping):
        storage = dict.fromkeys(_scheme_of_settings(storage).prefixes, storage)
    if not storage:
        raise _no_settings()
    for prefix, settings in storage.items():
        alone = _only_for(prefix.partition(":")[0].lower(), _scheme_of_settings(settings))
        if alone is not None:
            kind, begins = type(alone.settings).__name__, " or ".join(alone.prefixes)
            raise SpecError(f"storage: {kind} is for urls that begin with {begins}, and nothing else is: {prefix!r}")
    return dict(storage)


def as_access(http: Http | None, retry: Retry | None, storage: Storage | Settings | None) -> Access:
    """What users gave, completed with defaults. Raises SpecError for anything that is no such settings."""
    checks.instance("http", http, Http, optional=True)
    checks.instance("retry", retry, Retry, optional=True)
    return Access(http or _HTTP, retry or _RETRY, as_storage(storage))


def _given_for(url: str, storage: Storage) -> Settings | None:
    """The settings of the longest prefix that fits; None if none does."""
    prefix = max((prefix for prefix in storage if url.startswith(prefix)), key=len, default=None)
    return None if prefix is None else storage[prefix]


def _only_for(name: str, scheme: Scheme) -> Scheme | None:
    """The exclusive record that keeps the settings of `scheme` from holding for urls of a name; None if nothing does."""
    owner = _registered.get(name) or _own_scheme(name)
    if owner is scheme:
        return None
    return next((one for one in (scheme, owner) if one is not None and one.exclusive), None)


def _scheme_of_settings(settings: object) -> Scheme:
    """The record that settings are of, by their type. Raises SpecError for anything else."""
    for scheme in (*_registered.values(), *_own()):
        if scheme.settings is not None and type(scheme.settings) is type(settings):
            return scheme
    for scheme in schemes_of_packages() if is_dataclass(settings) else ():
        if scheme.settings is not None and type(scheme.settings) is type(settings):
            return scheme
    raise _no_settings()


@cache
def _own() -> tuple[Scheme, ...]:
    """What the folders of `stores`, and this machine and fsspec, have as `SCHEMES`."""
    from pkgutil import iter_modules  # noqa: PLC0415 - whoever has local files alone does without

    folders = [f"{stores.__name__}.{found.name}" for found in iter_modules(stores.__path__) if found.ispkg]
    modules = [f"{folder}.scheme" for folder in (*folders, local.__name__, fsspec.__name__)]
    return tuple(scheme for module in modules for scheme in import_module(module).SCHEMES)


def _no_settings() -> SpecError:
    known = dict.fromkeys(type(scheme.settings).__name__ for scheme in _own() if scheme.settings is not None)
    return SpecError(f"storage must be one of {', '.join(known)}, or a dict of such by URL prefix")


GROUP = "asyncwds.schemes"


def scheme_of_package(name: str) -> Scheme | None:
    """The record that a package has for a scheme. In secure mode only if WDS_SCHEMES names it.

    Raises SpecError where the package cannot be imported, or has something else there.
    """
    if secure_mode() and not is_allowed_by_name(name):
        return None
    entry = _entries(tuple(sys.path)).get(name)
    return None if entry is None else _loaded(entry)


def schemes_of_packages() -> Iterator[Scheme]:
    """The records of all packages that can be loaded: for settings that the program itself gives, also in secure mode."""
    for entry in _entries(tuple(sys.path)).values():
        with suppress(SpecError):  # somebody else's, or else there would be no such settings
            yield _loaded(entry)


@cache
def _entries(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """By scheme. Reading what is installed takes milliseconds; `path` is where modules were looked for then."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 20 ms that most do without

    del path
    return {entry.name.lower(): entry for entry in entry_points(group=GROUP)}


@cache
def _loaded(entry: EntryPoint) -> Scheme:
    package = f"the package {entry.dist.name}" if entry.dist else "a package"
    where = f"{entry.name}: urls are those of {package} ({entry.value})"
    try:
        found = entry.load()
    except Exception as error:
        raise SpecError(f"{where}, which cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(found, Scheme) or entry.name.lower() not in found.names:
        raise SpecError(f"{where}, and that is no asyncwds.Scheme for them")
    return found
