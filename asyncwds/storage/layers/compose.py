"""The layers around a store's fetcher, as its `Scheme` says."""

from __future__ import annotations

from asyncwds.errors import SpecError
from asyncwds.runtime.stats import Counters
from asyncwds.settings.retry import Retry
from asyncwds.storage.base import Fetcher
from asyncwds.storage.layers.checksum_fetcher import ChecksumFetcher
from asyncwds.storage.layers.hedge import Hedged
from asyncwds.storage.layers.retry import Retrying
from asyncwds.storage.layers.stated_checksums import StatedChecksums, StatesChecksums
from asyncwds.storage.scheme import Layers


def compose(bare: Fetcher, layers: Layers, retry: Retry, counters: Counters) -> Fetcher:
    """Raises SpecError for layers that the fetcher is not made for."""
    fetcher = bare
    if layers.hedge:
        fetcher = Hedged(fetcher, retry, counters)
    if layers.retry:
        fetcher = Retrying(fetcher, retry, counters)
    if layers.checksum is not None:
        fetcher = ChecksumFetcher(fetcher, whole=layers.checksum == "required")
    if layers.stated_checksums:
        if not isinstance(bare, StatesChecksums):
            raise SpecError(
                f"Layers(stated_checksums=True) is for fetchers that have `checksum`, and {type(bare).__name__} has none"
            )
        fetcher = StatedChecksums(fetcher, bare.checksum)
    return fetcher
