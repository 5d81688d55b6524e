"""Shards that appear in a folder while they are read, shared by any number of processes.

A process claims a shard by renaming it, `a.tar` → `a.tar._HOST-PID_`, so that no two read the same. It gives it back, keeps
it under another name or deletes it when the next one is asked for. Claims of processes that have died are undone by the
others on the same host.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from glob import glob
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

from braceexpand import braceexpand

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.security import require_local
from asyncwds.runtime.torch_iterable import TorchIterable
from asyncwds.runtime.worker_info import WorkerInfo, rng_at

Mode = Literal["resample", "unlink", "keep"]
Select = Literal["random", "oldest"]

_CLAIM = re.compile(r"(?P<shard>.+)\._(?:(?P<host>.+)-)?(?P<pid>\d+)_")  # without a host it is WebDataset's
_NAP = 0.05  # [s] between two looks at whether an iterator that waits has been closed


@TorchIterable.register
class DirectoryShardList:
    """Shards of a folder, for as long as there are any or some may come.

    path      the folder
    pattern   of the names; braces and wildcards
    poll      time [s] between two looks at an empty folder; None ends there
    timeout   end after waiting so long [s] for a shard
    mode      what becomes of a shard that was read: "resample" gives it its name back, so that it comes again, "unlink" deletes
              it, "keep" renames it to `NAME._done_`
    select    which of those that are there comes next: "random", or the "oldest" by modification time

    An iterator that is closed early gives its shard back, whatever the mode. Raises SpecError if there is no such folder.
    """

    def __init__(  # noqa: PLR0917 - WebDataset's
        self,
        path: str | os.PathLike[str],
        pattern: str = "*.{tar,tgz,tar.tgz}",
        poll: float | None = 1,
        timeout: float = 1e12,
        mode: Mode = "resample",
        select: Select = "random",
        fate: Any = None,  # WebDataset's; it has no meaning there either
    ) -> None:
        checks.path("DirectoryShardList: path", path)
        self.path = os.path.join(path, "")  # noqa: PTH118 - with a slash at its end, as WebDataset has it
        if not Path(path).is_dir():
            raise SpecError("there is no such folder", url=self.path)
        checks.one_of("DirectoryShardList: mode", mode, get_args(Mode))
        checks.one_of("DirectoryShardList: select", select, get_args(Select))
        checks.text("DirectoryShardList: pattern", pattern)
        if poll is not None:
            checks.real("DirectoryShardList: poll, if it is not None,", poll, 0)
        checks.real("DirectoryShardList: timeout", timeout, 0)
        self.pattern = pattern
        self.poll = poll
        self.timeout = timeout
        self.mode = mode
        self.select = select
        self.fate = fate

    def __iter__(self) -> Claims:
        return Claims(self, Random())  # noqa: S311 - an order, no secret

    def bound(self, seed: int, epoch: int, place: WorkerInfo) -> Claims:
        return Claims(self, rng_at(seed, epoch, place))

    def recycle(self, activename: str) -> None:
        """Does with a shard that was read what the mode says."""
        if self.mode == "unlink":
            Path(activename).unlink()
        elif self.mode == "keep":
            Path(activename).rename(_without_claim(activename) + "._done_")
        else:
            self.give_back(activename)

    def give_back(self, activename: str) -> None:
        Path(activename).rename(_without_claim(activename))

    def cleanup_files_without_processes(self) -> None:
        """Undoes the claims of this host's processes that are no more."""
        for name in self._names("*._*_"):
            claim = _CLAIM.fullmatch(name)
            if claim and claim["host"] in (None, os.uname().nodename) and not is_running(int(claim["pid"])):
                with suppress(FileNotFoundError):  # another process was faster
                    self.give_back(self.path + name)

    def candidates(self) -> list[str]:
        return sorted({self.path + name for pattern in braceexpand(self.pattern) for name in self._names(pattern)})

    def _names(self, pattern: str) -> list[str]:
        return glob(pattern, root_dir=self.path)  # noqa: PTH207 - Path.glob finds hidden files too

    def __repr__(self) -> str:
        return f"DirectoryShardList({self.path!r}, {self.pattern!r}, mode={self.mode!r}, select={self.select!r})"


class ClaimedShard(dict[str, str]):
    """A shard that asking for the next one may delete."""


class Claims(Iterator[ClaimedShard]):
    """The shards that one iteration claims, one at a time. `close` may be called from any thread, also while it waits."""

    def __init__(self, folder: DirectoryShardList, rng: Random) -> None:
        self._active: str | None = None
        self._pid = os.getpid()
        require_local("folders of shards are left alone", folder.path)
        self._folder = folder
        self._rng = rng
        self._closed = False

    def __next__(self) -> ClaimedShard:
        if self._active is not None:
            self._folder.recycle(self._active)
            self._active = None
        until = time.monotonic() + self._folder.timeout
        while not self._closed:
            self._folder.cleanup_files_without_processes()
            self._active = self._claimed()
            if self._active is not None:
                return ClaimedShard(url=self._active)
            if self._folder.poll is None or not self._wait(min(until, time.monotonic() + self._folder.poll)):
                break
            if time.monotonic() >= until:
                break
        raise StopIteration

    def _claimed(self) -> str | None:
        names = self._folder.candidates()
        if self._folder.select == "oldest":
            names.sort(key=_modified)
        else:
            self._rng.shuffle(names)
        for name in names:
            active = f"{name}._{os.uname().nodename}-{os.getpid()}_"
            with suppress(FileNotFoundError):  # another process was faster
                Path(name).rename(active)
                return active
        return None

    def _wait(self, until: float) -> bool:
        """False if it was closed meanwhile."""
        while not self._closed and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _NAP))
        return not self._closed

    def interrupt(self) -> None:
        """Ends a `next` that waits."""
        self._closed = True

    def close(self) -> None:
        """Gives the shard that was read last back: whether all of it was used nobody knows."""
        self._closed = True
        active, self._active = self._active, None
        if active is not None:
            with suppress(FileNotFoundError):
                self._folder.give_back(active)

    def __del__(self) -> None:
        if self._pid == os.getpid():  # the copy in a forked child has claimed nothing
            self.close()


def _without_claim(name: str) -> str:
    claim = _CLAIM.fullmatch(name)
    return claim["shard"] if claim else name


def _modified(name: str) -> float:
    try:
        return Path(name).stat().st_mtime
    except FileNotFoundError:  # another process has claimed it
        return float("inf")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
