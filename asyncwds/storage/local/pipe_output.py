"""`pipe:CMD` to write to: a shell command that reads its standard input."""

from __future__ import annotations

import os
import subprocess
import tempfile
import weakref
from contextlib import suppress
from typing import IO

from asyncwds.errors import FetchError, WdsError
from asyncwds.runtime.process import clean_up_undisturbed
from asyncwds.storage.local.command import TAIL_BYTES, exit_error, kill_session, start_shell
from asyncwds.storage.local.readiness import translate_os_error


class PipeOutput:
    """Runs `CMD` with /bin/sh. `commit` ends its input and waits for its exit, `abort` kills it with all it started.

    Raises FetchError with its status and the end of what it said, unless it succeeds. What it leaves behind when it is
    killed is its own affair.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._position = 0
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `_abort`; a pipe would have to be read meanwhile
        try:
            self._process = start_shell(url, stdin=subprocess.PIPE, stdout=self._said, stderr=subprocess.STDOUT)
        except WdsError:
            self._said.close()
            raise
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
        kill_session(self._process)

    def _end(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _error_for_exit(self, how: str) -> FetchError:
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - TAIL_BYTES))
        said = self._said.read()
        self._aborted()
        return exit_error(self._url, self._process.returncode, f"{how}, with", said, self._position)


def _abort(process: subprocess.Popen[bytes], said: IO[bytes], pid: int) -> None:
    if pid == os.getpid():  # to a forked child, the process is its parent's
        kill_session(process)  # first: at the end of its input it would take what it got for the whole
        process.wait()
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    said.close()
