"""An archive on its way into an output, for code that may block."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from asyncwds.errors import BridgeError, SpecError
from asyncwds.storage.local.direct_output import InPlaceOutput
from asyncwds.storage.local.output import Output
from asyncwds.writer.archive import Archive
from asyncwds.writer.entries import Entry
from asyncwds.writer.shards import warn_of_loss


class ArchiveFile:
    """Writes an archive in large chunks. Whatever fails or interrupts a write drops all of it: a gap would go unnoticed.

    Written in place, each sample is there when it was appended, and what fails ends the archive before it.
    """

    def __init__(self, output: Output, archive: Archive, name: str) -> None:
        self.archive = archive
        self.name = name
        self._output = output
        self._pid = os.getpid()
        self.is_open = True
        self.in_place = isinstance(output, InPlaceOutput)
        self._dropped = weakref.finalize(self, warn_of_loss, name, self._pid)
        if self.in_place:
            self._dropped.detach()  # nothing is lost

    def append(self, entry: Entry) -> None:
        if not self.is_open:
            raise SpecError("nothing can be written any more: the writer was closed, or an earlier write failed")
        self.archive.append(entry)
        if self.archive.is_full or self.in_place:
            with self._all_or_nothing():
                self._write(self.archive.take())

    def close(self) -> None:
        """Ends the archive and makes it visible, unless it was dropped. Idempotent."""
        if self.is_open:
            with self._all_or_nothing():
                self._write(self.archive.finish())
                self._output.commit()
            self.is_open = False
            self._dropped.detach()

    def abort(self) -> None:
        """Drops it. Idempotent; does nothing after `close`."""
        if self.is_open:
            self.is_open = False
            self._dropped.detach()
            if self._pid == os.getpid():
                self._output.abort()

    def _write(self, chunks: Iterator[bytes]) -> None:
        for chunk in chunks:
            self._output.write(chunk)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        if self._pid != os.getpid():
            raise BridgeError("a writer cannot be used in another process than the one that made it")
        try:
            yield
        except BaseException:
            self.abort()
            raise
