"""`Trace`: records what iterations do while it is open, and writes it to a file for Perfetto.

Processes that are started meanwhile find its folder in the environment; a file in there is given to each iteration as its number.
"""

from __future__ import annotations

import logging
import os
from itertools import count
from pathlib import Path
from typing import Self

from asyncwds import checks
from asyncwds.errors import FetchError, SpecError
from asyncwds.runtime.recorder import CHUNK, FULL, Recorder, lines_of
from asyncwds.runtime.units import MiB
from asyncwds.runtime.worker_info import WorkerInfo

FOLDER = "ASYNCWDS_TRACE_FOLDER"  # of the environment
MOST = "ASYNCWDS_TRACE_BYTES"

_LOG = logging.getLogger("asyncwds")


class Trace:
    """Records what iterations do while it is open, and writes it to a file for https://ui.perfetto.dev and chrome://tracing.

        with wds.Trace("out.json"):
            for sample in dataset: ...

    It is for all iterations of this process, `for` and `async for`, and of processes that are started while it is open: workers of
    a DataLoader, and those of `loader`. Each iteration is a group of rows. Of each at most `most_bytes` [bytes] are kept; what
    comes then is dropped, and a warning is logged. Meanwhile the events are in a folder beside the file.

    Raises SpecError if another trace is being recorded here, and FetchError if the file can't be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, most_bytes: int = 256 * MiB) -> None:
        checks.path("Trace: path", path)
        self._path = Path(path)
        self._most = checks.whole("Trace: most_bytes", most_bytes, CHUNK)
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        if _folder() is not None:
            raise SpecError("a trace is being recorded already, by this process or the one that started it")
        import tempfile  # noqa: PLC0415 - used here only, and each iteration imports this module

        try:
            self._path.write_text("")
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self._path.name}.", dir=self._path.absolute().parent))
        except OSError as error:
            raise FetchError(f"the trace cannot be written: {error.strerror or error}", url=str(self._path)) from error
        os.environ[FOLDER], os.environ[MOST] = str(self._folder), str(self._most)
        return self

    def __exit__(self, *_: object) -> None:
        import shutil  # noqa: PLC0415 - as above

        folder, self._folder = self._folder, None
        if folder is None:
            return
        for name in (FOLDER, MOST):
            os.environ.pop(name, None)
        try:
            self._merge(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _merge(self, folder: Path) -> None:
        files = sorted(folder.iterdir())
        with self._path.open("w", encoding="utf-8") as out:
            out.write('{"displayTimeUnit":"ms","traceEvents":[')
            separator = "\n"
            for path in files:
                for line in lines_of(path):
                    out.write(separator + line)
                    separator = ",\n"
            out.write("\n]}\n")
        if full := sum(path.name.endswith(FULL) for path in files):
            _LOG.warning("the trace %s is not whole: %d iterations had more than most_bytes=%d", self._path, full, self._most)


def _folder() -> Path | None:
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder and os.path.isdir(folder) else None  # noqa: PTH112 - "" is no folder, and Path("") is one


def recorder_for(title: str, place: WorkerInfo | None = None) -> Recorder | None:
    """For something that begins now; None where no trace is being recorded, or this process can't."""
    folder = _folder()
    if folder is None:
        return None
    try:
        number = _take_number(folder)
    except OSError:
        return None
    return Recorder(folder, number, f"{title}{_where(place)}", int(os.environ.get(MOST, 256 * MiB)))


def _where(place: WorkerInfo | None) -> str:
    if place is None:
        return ""
    rank = f", rank {place.rank}" if place.world_size > 1 else ""
    return rank + (f", worker {place.worker}" if place.num_workers > 1 else "")


def _take_number(folder: Path) -> int:
    for number in count(1):
        try:
            (folder / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise AssertionError
