"""What this machine has: files, commands, standard input and output."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncwds import checks
from asyncwds.errors import FetchError
from asyncwds.shards.urls import local_path
from asyncwds.storage.local.direct_output import StreamOutput
from asyncwds.storage.local.output import FileOutput, Output
from asyncwds.storage.scheme import Layers, Scheme

if TYPE_CHECKING:
    from asyncwds.runtime.counters import Counters
    from asyncwds.settings.access import Access
    from asyncwds.storage.base import Fetcher


@dataclass(frozen=True, slots=True)
class Command:
    """How `pipe:` urls are read.

    check  a command that fails is an error, also after all data. False is for commands that always end so: what they wrote
           counts, and a shard that is cut is an error still
    """

    check: bool = True

    def __post_init__(self) -> None:
        checks.flags(self, "check")


def _bare(settings: Command | None) -> Layers:
    del settings
    return Layers(retry=False)


def _file(settings: None, access: Access, counters: Counters) -> Fetcher:
    from asyncwds.storage.local.file import FileFetcher  # noqa: PLC0415 - asyncio, as below

    del settings, access
    return FileFetcher(counters)


def _file_output(settings: None, url: str) -> Output:
    del settings
    path = local_path(url)
    assert path is not None
    return FileOutput(url, path)


def _pipe(settings: Command, access: Access, counters: Counters) -> Fetcher:
    from asyncwds.storage.local.pipe import PipeFetcher  # noqa: PLC0415 - as above

    del access
    return PipeFetcher(counters, check=settings.check)


def _pipe_output(settings: Command, url: str) -> Output:
    from asyncwds.storage.local.pipe_output import PipeOutput  # noqa: PLC0415 - as above

    del settings
    return PipeOutput(url)


def _stdin(settings: None, access: Access, counters: Counters) -> Fetcher:
    from asyncwds.storage.local.pipe import StdinFetcher  # noqa: PLC0415 - as above

    del settings, access
    return StdinFetcher(counters)


def _stdout(settings: None, url: str) -> Output:
    del settings
    if sys.stdout is None:  # which the process was started without
        raise FetchError("standard output is closed", url=url)
    return StreamOutput(sys.stdout.buffer, url, close=False)


SCHEMES = (
    Scheme(names=("file",), reader=_file, output=_file_output, layers=_bare),
    Scheme(names=("pipe",), settings=Command(), reader=_pipe, output=_pipe_output, layers=_bare, exclusive=True),
    Scheme(names=("-",), reader=_stdin, output=_stdout, layers=_bare),
)
