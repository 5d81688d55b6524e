"""`pipe:CMD` to write to: a shell command that reads its standard input."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import weakref
from contextlib import suppress
from typing import IO

from asyncwds.errors import FetchError, SpecError, redact
from asyncwds.runtime.closing import clean_up_undisturbed
from asyncwds.storage.local.pipe import TAIL_BYTES
from asyncwds.storage.local.readiness import translate_os_error


class PipeOutput:
    """Runs `CMD` with /bin/sh. `commit` ends its input and waits for its exit, `abort` kills it with all it started.

    Raises FetchError with its status and the end of what it said, unless it succeeds. What it leaves behind when it is
    killed is its own affair.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._position = 0
        command = url.partition(":")[2]
        if not command.strip():
            raise SpecError("pipe: without a command", url=url)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `_free`; a pipe would have to be read meanwhile
        try:
            # A session of its own, as for commands that are read from.
            self._process = subprocess.Popen(  # noqa: S602 - running the user's command is what pipe: is for
                command,
                shell=True,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=self._said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            raise translate_os_error(error, url) from error
        except ValueError as error:  # a zero byte
            self._said.close()
            raise SpecError(f"no usable command: {error}", url=url) from error
        self._aborted = weakref.finalize(self, _abort, self._process, self._said, os.getpid())
        clean_up_undisturbed()

    def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        left = memoryview(data)
        try:
            while left:
                written = os.write(self._process.stdin.fileno(), left)
                self._position += written
                left = left[written:]
        except BrokenPipeError as error:
            self._end()
            raise self._error_for_exit("ended before its input did") from error
        except OSError as error:
            raise translate_os_error(error, self._url, self._position) from error

    def commit(self) -> None:
        self._end()
        if self._process.returncode != 0:
            raise self._error_for_exit("failed")
        self._aborted()  # nothing is left but to free things

    def abort(self) -> None:
        self._aborted()

    def kill(self) -> None:
        """Ends it at once, and with it any call that waits for it in another thread."""
        _kill(self._process)

    def _end(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _error_for_exit(self, how: str) -> FetchError:
        status = self._process.returncode
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - TAIL_BYTES))
        said_last = redact(self._said.read().decode(errors="replace").strip())
        self._aborted()
        ended = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"{how}, with status {status}"
        return FetchError(
            f"the command {ended}" + (f": {said_last}" if said_last else ""), url=self._url, offset=self._position, status=status
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        # Not yet waited for, so its number still is its own, and that of its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _abort(process: subprocess.Popen[bytes], said: IO[bytes], pid: int) -> None:
    if pid == os.getpid():  # to a forked child, the process is its parent's
        _kill(process)  # first: at the end of its input it would take what it got for the whole
        process.wait()
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    said.close()
