"""An archive on its way into an output, for code that may block."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from asyncwds.engine.schemes import writer_of
from asyncwds.errors import BridgeError, SpecError
from asyncwds.model import Http, Retry
from asyncwds.storage.clouds import Storage
from asyncwds.storage.output import Output, StreamOutput, opened_output
from asyncwds.storage.sinks import blocking_output
from asyncwds.urls import rewritten
from asyncwds.writer.archive import Archive
from asyncwds.writer.entries import Entry
from asyncwds.writer.shards import warn_of_loss


def open_output(target: str | os.PathLike[str] | IO[bytes] | Any, http: Http, retry: Retry, storage: Storage) -> Output:
    """An output for a path, a URL, or a binary file of the caller's, who closes it.

    As for reading, urls are rewritten as $GOPEN_REWRITE says, and opened by the function that `gopen_schemes` has in place of ours.
    """
    if not isinstance(target, str | os.PathLike):
        return StreamOutput(target, None, close=False)
    url = rewritten(os.fspath(target))
    if (opener := writer_of(url)) is not None:
        return opened_output(url, opener)
    output = blocking_output(url, storage)
    if output is not None:
        return output
    from asyncwds.engine.remote import RemoteOutput  # noqa: PLC0415 - it brings the engine and a thread

    return RemoteOutput(url, http, retry, storage)


class ArchiveFile:
    """Writes an archive in large chunks. Whatever fails or interrupts a write drops all of it: a gap would go unnoticed."""

    def __init__(self, output: Output, archive: Archive, name: str) -> None:
        self.archive = archive
        self.name = name
        self._output = output
        self._pid = os.getpid()
        self.is_open = True
        self._dropped = weakref.finalize(self, warn_of_loss, name, self._pid)

    def append(self, entry: Entry) -> None:
        if not self.is_open:
            raise SpecError("nothing can be written any more: the writer was closed, or an earlier write failed")
        self.archive.append(entry)
        if self.archive.is_full:
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
