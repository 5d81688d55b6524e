"""Whatever other scheme fsspec has a file system for: read and listed, not written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.extras import require_extra
from asyncwds.runtime.security import secure_mode
from asyncwds.settings.access import pickle_without
from asyncwds.storage.scheme import Scheme

if TYPE_CHECKING:
    from asyncwds.runtime.counters import Counters
    from asyncwds.settings.access import Access
    from asyncwds.storage.base import Fetcher
    from asyncwds.storage.object_store import Lister


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How urls of any other scheme are read: with the fsspec file system of that name, in threads.

    options  arguments for it, besides what it takes from the url: `{"username": "me", "key_filename": "id"}` for `sftp://`
    threads  reads at a time
    """

    options: dict[str, Any] = field(default_factory=dict, repr=False)
    threads: int = 8

    def __post_init__(self) -> None:
        checks.whole("FileSystem: threads", self.threads, 1)
        checks.mapping("FileSystem: options", self.options)

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle_without(self, "options")


def knows(scheme: str) -> bool:
    """Whether fsspec is installed and has a file system of this name, with the libraries that it wants.

    In secure mode it is not asked: it reads local files too.
    """
    if secure_mode():
        return False
    try:
        require_extra("fsspec.registry", "fsspec").get_filesystem_class(scheme)
    except (SpecError, ImportError, ValueError):
        return False
    return True


def why_not(scheme: str) -> str:
    """What to add where a scheme is not known."""
    try:
        registry = require_extra("fsspec.registry", "fsspec")
    except SpecError:
        return "; pip install 'asyncwds[fsspec]' for others"
    wants = registry.known_implementations.get(scheme, {}).get("err")
    return f"; {wants}" if wants else ""


def _reader(settings: FileSystem, access: Access, counters: Counters) -> Fetcher:
    from asyncwds.storage.fsspec.store import FsspecFetcher  # noqa: PLC0415 - asyncio, as below

    del access
    _refuse_in_secure_mode()
    return FsspecFetcher(settings, counters)


def _lister(settings: FileSystem, access: Access) -> Lister:
    from asyncwds.storage.fsspec.store import FsspecLister  # noqa: PLC0415 - as above

    del access
    _refuse_in_secure_mode()
    return FsspecLister(settings)


def _refuse_in_secure_mode() -> None:
    if secure_mode():
        raise SpecError("fsspec is not used, because WDS_SECURE is set: it reads local files and runs commands too")


SCHEMES = (Scheme(names=(), settings=FileSystem(), reader=_reader, lister=_lister),)
