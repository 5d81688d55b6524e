"""An archive on its way into an output, for code that may block."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from asyncwds.engine.openers import writer_of
from asyncwds.errors import BridgeError, SpecError
from asyncwds.runtime.security import why_refused
from asyncwds.settings.access import Access
from asyncwds.shards.urls import local_path, rewritten
from asyncwds.storage.local.in_place import InPlaceOutput
from asyncwds.storage.local.output import Output, StreamOutput, open_with
from asyncwds.storage.sinks import blocking_output
from asyncwds.writer.archive import Archive
from asyncwds.writer.entries import Entry
from asyncwds.writer.shards import warn_of_loss


def open_output(target: str | os.PathLike[str] | IO[bytes] | Any, access: Access, *, ending: bytes | None = None) -> Output:
    """An output for a path, a URL, or a binary file of the caller's, who closes it.

    As for reading, urls are rewritten as $GOPEN_REWRITE says, and opened by the function that `gopen_schemes` has in place of ours.
    With an `ending` a local file is written in place.
    """
    if not isinstance(target, str | os.PathLike):
        return StreamOutput(target, None, close=False)
    url = rewritten(os.fspath(target))
    if (opener := writer_of(url)) is not None:
        return open_with(url, opener)
    path = local_path(url)
    if ending is not None and path is not None and not why_refused("file") and (Path(path).is_file() or not Path(path).exists()):
        return InPlaceOutput(url, path, ending)
    output = blocking_output(url, access.storage)
    if output is not None:
        return output
    from asyncwds.bridges.remote_output import RemoteOutput  # noqa: PLC0415 - it brings the engine and a thread

    return RemoteOutput(url, access)


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
