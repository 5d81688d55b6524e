"""What a store is to the rest: one `Scheme` record, in the store's own folder or in another package.

Records are made without importing what they need: `reader`, `writer`, `output` and `lister` import that when they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from asyncwds import checks
from asyncwds.errors import SpecError

if TYPE_CHECKING:
    from asyncwds.runtime.blocking import BlockingPool
    from asyncwds.runtime.counters import Counters
    from asyncwds.settings.access import Access
    from asyncwds.storage.base import Fetcher
    from asyncwds.storage.local.output import Output
    from asyncwds.storage.object_store import Lister
    from asyncwds.storage.sink import Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What stands around a fetcher, from the inside out.

    hedge             ask again, on another connection, where the first byte is late; the fetcher fills `Counters.first_bytes`
    retry             ask again after errors that are `retryable`
    checksum          compare whole objects with `Answer.checksum`: where there is one ("optional"), or always ("required"): then
                      each is read as one stream
    stated_checksums  the store states checksums when it is asked: the fetcher is a `StatesChecksums`
    hints             the store wants to know what will be read: the fetcher is an `AcceptsHints`
    """

    hedge: bool = False
    retry: bool = True
    checksum: Literal["optional", "required"] | None = None
    stated_checksums: bool = False
    hints: bool = False


def _retried(settings: Any) -> Layers:
    del settings
    return Layers()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scheme:
    """How the urls of some schemes are read, written and listed. Each function gets the settings first.

    names      of the schemes, in lower case: `("foo",)` for `foo://…`
    settings   those that hold unless `storage=` has others of their type, a frozen dataclass; None: there is nothing to set
    reader     (settings, access, counters) → a Fetcher, for ranges; it counts requests and bytes in `counters`
    writer     (settings, access, thread) → a Sink; what blocks is done in `thread`, a `BlockingPool` with a single one
    output     (settings, url) → an Output, for what is written by blocking calls; it goes before `writer`
    lister     (settings, access) → a Lister, for wildcards and folders
    layers     (settings) → what stands around the reader's fetcher; unless given, it is asked again after errors that may pass
    exclusive  the settings are for these names only, and the names take no other settings
    has_query  `?` begins the query of a url, and is no wildcard
    escaped    the names in urls that are listed are percent-encoded; patterns are not
    no_match   added to the error where a pattern finds nothing
    """

    names: tuple[str, ...]
    settings: Any = None
    reader: Callable[[Any, Access, Counters], Fetcher]
    writer: Callable[[Any, Access, BlockingPool], Sink] | None = None
    output: Callable[[Any, str], Output] | None = None
    lister: Callable[[Any, Access], Lister] | None = None
    layers: Callable[[Any], Layers] = _retried
    exclusive: bool = False
    has_query: bool = False
    escaped: bool = False
    no_match: str = ""

    def __post_init__(self) -> None:
        checks.instance("Scheme: names", self.names, tuple)
        for name in self.names:
            checks.text("Scheme: a name", name)
            if name != name.lower():
                raise SpecError(f"Scheme: names must be in lower case: {name!r}")
        for name, takes in {"reader": 3, "writer": 3, "output": 2, "lister": 2, "layers": 1}.items():
            checks.function(f"Scheme: {name}", getattr(self, name), optional=name not in ("reader", "layers"), takes=takes)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the urls begin with."""
        return tuple(f"{name}:" if self.exclusive else f"{name}://" for name in self.names)

    @property
    def is_writable(self) -> bool:
        return self.writer is not None or self.output is not None
