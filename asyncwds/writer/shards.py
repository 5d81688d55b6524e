"""Which shard a sample goes into, and what was written so far: what both shard writers know. No I/O."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from asyncwds import checks
from asyncwds.errors import SpecError, redact
from asyncwds.formatting.texts import printable
from asyncwds.writer.archive import Archive
from asyncwds.writer.entries import Entry
from asyncwds.writer.manifest import ShardRecord

if TYPE_CHECKING:
    from asyncwds.index.index import ShardIndex

_LOG = logging.getLogger("asyncwds.writer")


class Shards:
    """Names and counts shards.

    pattern     name of the shards, with a place for their number as in "train-%06d.tar"
    maxcount    most samples of a shard
    maxsize     most bytes of a shard, headers and end included, before compression; a larger sample has a shard of its own
    start       number of the first one
    """

    def __init__(self, pattern: str | os.PathLike[str], maxcount: float, maxsize: float, start: int) -> None:
        if pattern != "":  # which subclasses with streams of their own give; None and 0 are refused
            checks.path("pattern", pattern)
        checks.real("maxcount", maxcount, 1)
        checks.real("maxsize", maxsize, above=0)
        checks.whole("start_shard", start, 0)
        self.pattern = os.fspath(pattern)
        self.maxcount = maxcount
        self.maxsize = maxsize
        self.shard = start  # number of the next one
        self.fname: str | None = None  # of the latest one
        self.count = 0  # samples in it
        self.size = 0  # [bytes] of their fields
        self.total = 0  # samples in all
        self.records: list[ShardRecord] = []
        self.indexes: list[ShardIndex] = []

    def next_name(self) -> str:
        """Raises SpecError for a pattern without a place for the number."""
        try:
            return self.pattern % self.shard
        except (TypeError, ValueError) as error:
            raise SpecError(f"the pattern needs one place for a number, such as %06d ({error})", url=self.pattern) from error

    def begun(self, name: str, *, verbose: bool) -> None:
        """The next shard was begun, under this name."""
        self.fname = name
        self.shard += 1
        self.count = self.size = 0
        if verbose:
            _LOG.info("writing %s; so far %d samples in %d shards", printable(redact(name)), self.total, len(self.records))

    def has_room(self, archive: Archive, entry: Entry) -> bool:
        return archive.samples < self.maxcount and archive.size_with(entry) <= self.maxsize

    def wrote(self, payload: int) -> None:
        """A sample, the fields of which have so many [bytes]."""
        self.count += 1
        self.total += 1
        self.size += payload

    def ended(self, archive: Archive) -> str:
        """Enters the latest shard among those that are complete. Returns its name."""
        assert self.fname is not None
        self.records.append(ShardRecord(self.fname, archive.samples, archive.taken, archive.sha256))
        if (index := archive.index(self.fname)) is not None:
            self.indexes.append(index)
        return self.fname


@contextmanager
def add_note(note: str) -> Iterator[None]:
    """Errors of the user's code come out as they are, with a note that says where."""
    try:
        yield
    except Exception as error:
        error.add_note(printable(note))
        raise


def shown_property(name: str, *, settable: bool = False) -> Any:
    """A property of a writer that shows what its `Shards` know."""
    shards = attrgetter("_shards")

    def put(writer: object, value: Any) -> None:
        setattr(shards(writer), name, value)

    return property(attrgetter(f"_shards.{name}"), put if settable else None)


def warn_of_loss(name: str, pid: int) -> None:
    """For a writer that nobody holds any more, or at the end of the interpreter."""
    if pid == os.getpid():  # a forked child has no say
        warnings.warn(
            f"{printable(redact(name))} was never closed, and what was written to it is dropped: use `with`, or close()",
            RuntimeWarning,
            stacklevel=2,
        )
