"""Commands that are run for each shard once it is complete: `--post 'upload {path} {count}'`."""

from __future__ import annotations

import re
import sys
from typing import Any

from asyncwds.errors import FetchError, SpecError
from asyncwds.runtime.security import why_refused
from asyncwds.shards.urls import local_path

PLACES = ("path", "url", "count", "size", "sha256")
_PLACE = re.compile(r"\{(\w+)\}|%s")


def check_post(command: str) -> None:
    """Raises SpecError for one that has other places than these, or that the environment does not allow."""
    if reason := why_refused("pipe"):
        raise SpecError(f"no command is run, because {reason}")
    if unknown := [name for name in _PLACE.findall(command) if name and name not in PLACES]:
        raise SpecError(f"there is no {{{unknown[0]}}} in commands, but {', '.join(PLACES)}: {command[:200]!r}")


def wants_sha256(command: str | None) -> bool:
    return command is not None and "{sha256}" in command


def run_post(command: str, shard: dict[str, Any]) -> None:
    """By the shell, with quoted values; every %s is the path, as in tarp. Raises FetchError for another exit status than 0."""
    import shlex  # noqa: PLC0415 - most do without
    import subprocess  # noqa: PLC0415 - as above

    path = local_path(shard["url"])
    values = {
        "path": shard["url"] if path is None else path,
        "url": shard["url"],
        "count": shard["samples"],
        "size": shard["bytes"],
        "sha256": shard["sha256"],
    }
    line = _PLACE.sub(lambda found: shlex.quote(str(values[found[1] or "path"])), command)
    # What it says belongs to our own messages: standard output may be the archive.
    done = subprocess.run(line, shell=True, stdout=sys.stderr.fileno(), check=False)  # noqa: S602 - the user's own command
    if done.returncode:
        raise FetchError(
            f"the command after a shard ended with status {done.returncode}: {line}", url=shard["url"], status=done.returncode
        )
