"""What is written to: a path, a URL or a file of the caller's, for code that may block."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

from asyncwds.runtime.security import why_refused
from asyncwds.settings.access import Access
from asyncwds.shards.urls import local_path, rewritten
from asyncwds.storage.local.direct_output import InPlaceOutput, StreamOutput, open_with
from asyncwds.storage.local.output import Output
from asyncwds.storage.outputs import blocking_output


def open_output(target: str | os.PathLike[str] | IO[bytes] | Any, access: Access, *, ending: bytes | None = None) -> Output:
    """An output for a path, a URL, or a binary file of the caller's, who closes it.

    As for reading, urls are rewritten as $GOPEN_REWRITE says, and opened by the function that `gopen_schemes` has in place of ours.
    With an `ending` a local file is written in place.
    """
    if not isinstance(target, str | os.PathLike):
        return StreamOutput(target, None, close=False)
    url = rewritten(os.fspath(target))
    path = local_path(url)
    if path is None and url != "-":
        from asyncwds.engine.openers import writer_of  # noqa: PLC0415 - it brings all there is to read with

        if (opener := writer_of(url)) is not None:
            return open_with(url, opener)
    if ending is not None and path is not None and not why_refused("file") and (Path(path).is_file() or not Path(path).exists()):
        return InPlaceOutput(url, path, ending)
    output = blocking_output(url, access.storage)
    if output is not None:
        return output
    from asyncwds.bridges.remote_output import RemoteOutput  # noqa: PLC0415 - it brings the engine and a thread

    return RemoteOutput(url, access)
