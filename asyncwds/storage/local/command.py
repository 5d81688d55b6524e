"""A command as a file: what it writes is read, or what is written it reads. WebDataset's `Pipe`.

And shell commands of `pipe:` urls: how they are started and killed, and what is said of their end.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection
from contextlib import suppress
from typing import IO, Any, Literal, Self

from asyncwds import checks
from asyncwds.errors import FetchError, FetchTimeoutError, SpecError, redact
from asyncwds.runtime.security import secure_mode
from asyncwds.storage.local.readiness import translate_os_error


class Pipe:
    """A running command; the arguments that are not named here are those of `subprocess.Popen`.

    mode            "rb" reads its standard output, "wb" writes to its standard input
    timeout         how long [s] closing waits for its end; None is for ever
    ignore_errors   any exit status is as good as 0
    ignore_status   these are

    At the end of the output, and when a pipe that was written to is closed, FetchError is raised if the command failed. A pipe that
    is closed before the end of the output kills the command with all processes that it started.
    """

    def __init__(
        self,
        *args: Any,
        mode: str,
        timeout: float | None = 7200.0,
        ignore_errors: bool = False,
        ignore_status: Collection[int] = (),
        **kw: Any,
    ) -> None:
        checks.one_of("Pipe: mode", mode, ("rb", "wb", "r", "w"))
        checks.require(bool(args) or "args" in kw, "Pipe takes a command, as subprocess.Popen does")
        if timeout is not None:
            checks.real("Pipe: timeout, if it is not None,", timeout, 0)
        checks.flag("Pipe: ignore_errors", ignore_errors)
        checks.instance("Pipe: ignore_status", ignore_status, Collection)
        for status in ignore_status:
            checks.whole("Pipe: each of ignore_status", status)
        if secure_mode():
            raise SpecError("commands are not run, because WDS_SECURE is set")
        self.timeout = timeout
        self.ignore_errors = ignore_errors
        self.ignore_status = [0, *ignore_status]
        self.args = args
        self.status: int | None = None
        self.proc: subprocess.Popen[bytes]
        self._reads = mode[0] == "r"
        kw["stdout" if self._reads else "stdin"] = subprocess.PIPE
        kw["start_new_session"] = True  # so that it can be killed with its children
        self.proc = subprocess.Popen(*args, **kw)  # noqa: S603 - running commands is its purpose
        self.stream: IO[bytes] = require_stream(self.proc.stdout if self._reads else self.proc.stdin)

    @property
    def closed(self) -> bool:
        return self.stream.closed

    def read(self, size: int = -1, /) -> bytes:
        data = self.stream.read(size)
        if not data and size != 0:
            self.wait_for_child()
        return data

    def readline(self, size: int = -1, /) -> bytes:
        return self.stream.readline(size)

    readLine = readline  # noqa: N815 - WebDataset's

    def write(self, data: bytes, /) -> int:
        """Raises FetchError if the command has ended meanwhile, with a status that is an error."""
        try:
            return self.stream.write(data)
        except BrokenPipeError:
            self.wait_for_child()
            raise

    def flush(self) -> None:
        self.stream.flush()

    def check_status(self) -> None:
        """Raises FetchError if the command has failed already."""
        if self.proc.poll() is not None:
            self.wait_for_child()

    def wait_for_child(self) -> None:
        """Waits for the command's end. Raises FetchTimeoutError after `timeout`, FetchError if the exit status is no good one."""
        try:
            self.status = self.proc.wait(self.timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise FetchTimeoutError(f"the command {self._command} did not end in {self.timeout} s") from error
        if self.status not in self.ignore_status and not self.ignore_errors:
            raise FetchError(f"the command {self._command} failed with status {self.status}", status=self.status)

    def close(self) -> None:
        if self.stream.closed:
            return
        if self._reads:
            self.kill()
            self.stream.close()
            return
        try:
            with suppress(BrokenPipeError):  # it did not want to read the rest; its status says whether that is an error
                self.stream.close()
        finally:
            self.wait_for_child()

    def kill(self) -> None:
        """Ends the command and what it started, if it still runs. May be called while another thread reads."""
        if self.proc.poll() is None:
            kill_session(self.proc)
            self.proc.wait()

    @property
    def _command(self) -> object:
        return self.args[0] if self.args else self.args

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:  # what was written is not complete, and the command must not take it for that
            self.kill()
            self.ignore_errors = True
        self.close()

    def __del__(self) -> None:
        if not hasattr(self, "stream") or self.stream.closed:
            return
        self.kill()
        with suppress(OSError):
            self.stream.close()

    def __repr__(self) -> str:
        return f"<Pipe {self._command!r}>"


def shell(url: str, mode: str = "rb", bufsize: int = 8192, **_: Any) -> Pipe:
    """`pipe:CMD`, run with /bin/sh."""
    return Pipe(url.partition(":")[2], mode=mode, shell=True, bufsize=bufsize, ignore_status=[141])  # noqa: S604 - it is a shell's


def program(read: list[str] | None, write: list[str] | None) -> Any:
    """An opener that runs a program, the url taking the place of "URL" among its arguments."""

    def open_command(url: str, mode: Literal["rb", "wb"] = "rb", bufsize: int = 8192, **_: Any) -> Pipe:
        arguments = read if mode[0] == "r" else write
        if arguments is None:
            raise SpecError(f"cannot be opened with mode {mode!r}", url=url)
        command = [url if argument == "URL" else argument for argument in arguments]
        # 141: a shell's word for SIGPIPE; 23 and 26 are curl's for the other side having had enough.
        try:
            return Pipe(command, mode=mode, bufsize=bufsize, ignore_status=[141, 23] if mode[0] == "r" else [141, 26])
        except FileNotFoundError as error:
            raise FetchError(f"{command[0]} is not installed", url=url) from error

    return open_command


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
