"""What there is to know of each shard by itself, found out in several processes: for tools that read and add up."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncwds import checks
from asyncwds.errors import redact
from asyncwds.runtime.units import MiB
from asyncwds.shards.urls import url_list
from asyncwds.storage.listing import Listing
from asyncwds.tools.inputs import Inputs, watch_shards
from asyncwds.tools.selection import Selection

if TYPE_CHECKING:
    from asyncwds.shards.manifests import ShardRecord

T = TypeVar("T")
R = TypeVar("R")
Look = Callable[[Inputs, Selection], R]

LEAST_MEMORY = 16 * MiB
"""[bytes] that each process may read ahead."""


def of_each_shard(look: Look[R], inputs: Inputs, selection: Selection, jobs: int) -> Generator[R, None, None]:
    """What `look` says of each shard, in their order, asked in `jobs` processes. It is pickled, and gets the inputs of one shard.

    Raises SpecError for a selection that counts samples of all shards, and for standard input; and what `look` raises.
    """
    from asyncwds.parallel.process_calls import in_order  # noqa: PLC0415 - it brings multiprocessing

    whole = selection.limit is None and selection.slice is None
    checks.require(whole, "limit and slice count samples of all shards, and jobs look at one each: give no jobs")
    urls, records = inputs.listing()
    alone = [list_one(url, records) for url in urls]
    processes = max(1, min(jobs, len(urls)))
    work = _Looking(look, share(inputs, processes), selection)
    with closing(call_for_shards(work, alone, lambda listing: listing.urls[0], inputs, processes)) as results:
        yield from in_order(results)


@dataclass(frozen=True)
class _Looking(Generic[R]):
    """What is sent to each process, once."""

    look: Look[R]
    inputs: Inputs
    selection: Selection

    def __call__(self, process: int) -> Callable[[Listing], R]:
        """Lists of keys are loaded once for all shards of a process."""
        del process
        return partial(self._look, self.selection.load(self.inputs.access))

    def _look(self, selection: Selection, listing: Listing) -> R:
        return self.look(with_listing(self.inputs, listing), selection)


def call_for_shards(
    start: Callable[[int], Callable[[T], R]], items: Sequence[T], url_of: Callable[[T], str], inputs: Inputs, processes: int
) -> Generator[tuple[int, R], None, None]:
    """As `call_in_processes`, of items that stand for shards, and shown as `inputs` say."""
    from asyncwds.parallel.process_calls import call_in_processes  # noqa: PLC0415 - it brings multiprocessing

    checks.require("-" not in inputs.urls, "standard input can be read by one process only")
    with closing(call_in_processes(start, items, processes, lambda item: redact(url_of(item)))) as results:
        yield from watch_shards(inputs, [url_of(item) for item in items], results)


def list_one(url: str, records: Mapping[str, ShardRecord]) -> Listing:
    """A shard by itself, with what is known of it."""
    return Listing(url_list([url]), {url: records[url]} if url in records else {})


def with_listing(inputs: Inputs, listing: Listing) -> Inputs:
    """The same for these shards, which nobody needs to look for."""
    return replace(inputs, urls=list(listing.urls), listed=listing, part=None)


def share(inputs: Inputs, processes: int) -> Inputs:
    """What each of the processes may use, with no shards yet."""
    memory = max(inputs.memory // processes, min(LEAST_MEMORY, inputs.memory))
    io = None if inputs.io is None else max(1, inputs.io // processes)
    return replace(inputs, urls=(), part=None, memory=memory, io=io, watch=None, watch_shards=None)
