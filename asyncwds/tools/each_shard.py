"""What there is to know of each shard by itself, found out in several processes: for tools that read and add up."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from asyncwds import checks
from asyncwds.errors import redact
from asyncwds.runtime.units import MiB
from asyncwds.shards.url_list import url_list
from asyncwds.storage.listing import Listing
from asyncwds.tools.inputs import Inputs, watch_shards
from asyncwds.tools.selection import Selection

R = TypeVar("R")
Look = Callable[[Inputs, Selection], R]

LEAST_MEMORY = 16 * MiB
"""[bytes] that each process may read ahead."""


def of_each_shard(look: Look[R], inputs: Inputs, selection: Selection, jobs: int) -> Generator[R, None, None]:
    """What `look` says of each shard, in their order, asked in `jobs` processes. It is pickled, and gets the inputs of one shard.

    Raises SpecError for a selection that counts samples of all shards, and for standard input; and what `look` raises.
    """
    from asyncwds.parallel.process_calls import call_in_processes  # noqa: PLC0415 - it brings multiprocessing

    whole = selection.limit is None and selection.slice is None
    checks.require(whole, "limit and slice count samples of all shards, and jobs look at one each: give no jobs")
    checks.require("-" not in inputs.urls, "standard input can be read by one process only")
    urls, records = inputs.listing()
    alone = [Listing(url_list([url]), {url: records[url]} if url in records else {}) for url in urls]
    processes = max(1, min(jobs, len(urls)))
    work = _Looking(look, share(inputs, processes), selection)
    with closing(call_in_processes(work, alone, processes, lambda listing: redact(listing.urls[0]))) as results:
        yield from _in_order(watch_shards(inputs, urls, results))


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
        return self.look(replace(self.inputs, urls=list(listing.urls), listed=listing), selection)


def share(inputs: Inputs, processes: int) -> Inputs:
    """What each of the processes may use, with no shards yet."""
    memory = max(inputs.memory // processes, min(LEAST_MEMORY, inputs.memory))
    io = None if inputs.io is None else max(1, inputs.io // processes)
    return replace(inputs, urls=(), part=None, memory=memory, io=io, watch=None, watch_shards=None)


def _in_order(results: Iterator[tuple[int, R]]) -> Iterator[R]:
    early: dict[int, R] = {}
    due = 0
    for number, result in results:
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1
