"""Shell commands of `pipe:` urls: how they are started and killed, and what is said of their end."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import IO

from asyncwds.errors import FetchError, SpecError, redact
from asyncwds.storage.local.readiness import translate_os_error

TAIL_BYTES = 2000
"""How much of the end of what a command says is kept."""


def start_shell(url: str, *, stdin: int, stdout: int | IO[bytes], stderr: int) -> subprocess.Popen[bytes]:
    """Runs the command of a url with /bin/sh. Raises SpecError where there is none, FetchError where it cannot be started."""
    command = url.partition(":")[2]
    if not command.strip():
        raise SpecError("pipe: without a command", url=url)
    try:
        # A session of its own: it can be killed with its children, and asks no terminal for a password for ever.
        return subprocess.Popen(  # noqa: S602 - running the user's command is what pipe: is for
            command, shell=True, bufsize=0, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    except OSError as error:
        raise translate_os_error(error, url) from error
    except ValueError as error:  # a zero byte
        raise SpecError(f"no usable command: {error}", url=url) from error


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kills a command, unless it was waited for, with all that it started; it is to be waited for afterwards."""
    if process.returncode is None:
        # Not yet waited for, so its number still is its own, and that of its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def exit_error(url: str, status: int, how: str, said: bytes, position: int) -> FetchError:
    """The error for a command that ended so, behind byte `position` of its output or input; `how` where it was not killed."""
    ended = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"{how} status {status}"
    said_last = redact(said.decode(errors="replace").strip())
    message = f"the command {ended}" + (f": {said_last}" if said_last else "")
    return FetchError(message, url=url, offset=position, status=status)


def require_stream(stream: IO[bytes] | None) -> IO[bytes]:
    """One of `Popen`'s that was asked for."""
    assert stream is not None
    return stream
