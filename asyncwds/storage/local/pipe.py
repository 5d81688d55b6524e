"""What comes once, by a pipe: what a shell command writes to its standard output (`pipe:CMD`), and standard input (`-`)."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from asyncwds.errors import FetchError
from asyncwds.runtime.counters import Counters
from asyncwds.storage.base import Answer, ChunkBody, ObjectRange
from asyncwds.storage.local.command import TAIL_BYTES, exit_error, kill_session, require_stream, start_shell
from asyncwds.storage.local.readiness import PIPE_BYTES, is_ready, read_when_ready, translate_os_error


class PipeFetcher:
    """Runs `CMD` with /bin/sh for each body. It has no ranges, no size and no identity.

    The body's end raises FetchError with the exit status and the end of stderr, unless the command succeeded, or nobody asks
    (`check=False`). Leaving a body early kills the command with all processes it started.
    """

    def __init__(self, counters: Counters, *, check: bool = True) -> None:
        self._counters = counters
        self._check = check

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[ChunkBody, None]:
        del buffer
        self._counters.requests += 1
        command = _Command(wanted.url)
        try:
            async with aclosing(self._chunks(command)) as chunks:
                yield ChunkBody(Answer(0, None, None, ranged=False), chunks)
        finally:
            await command.end()

    async def aclose(self) -> None:
        """Nothing is kept between bodies."""

    async def _chunks(self, command: _Command) -> AsyncGenerator[bytes, None]:
        position = 0
        while chunk := await read_when_ready(command.output.fileno()):
            position += len(chunk)
            self._counters.bytes += len(chunk)
            self._counters.piped += len(chunk)
            yield chunk
        await command.ended(position, check=self._check)


class _Command:
    """A running command. `output` is its stdout; its stderr is read as it comes, and the end of it kept.

    Popen, not asyncio's processes: those need a watcher, which differs with Python's version, the loop and the thread.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._process = start_shell(url, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.output = require_stream(self._process.stdout)
        self._errors = require_stream(self._process.stderr)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # there is a bound on all pipes of a user together
                fcntl.fcntl(self.output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._tail = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._errors.fileno(), self._listen)

    async def ended(self, position: int, *, check: bool) -> None:
        """Waits for the exit. With `check`, raises FetchError unless its status is 0; the output ended at `position` [bytes]."""
        await self._exit()
        status = self._process.returncode
        if status == 0 or not check:
            return
        while is_ready(self._errors.fileno()) and self._listen():
            pass
        raise exit_error(self.url, status, "failed with", self._tail, position)

    async def end(self) -> None:
        """Kills what still runs and frees everything."""
        self._loop.remove_reader(self._errors.fileno())
        try:
            if self._process.returncode is None:
                kill_session(self._process)
                await self._exit()
        finally:
            if self._process.returncode is None:  # cancelled once more; a killed process ends within milliseconds
                self._process.wait()
            self._errors.close()
            self.output.close()

    async def _exit(self) -> None:
        pause = 0.0005
        while self._process.poll() is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)

    def _listen(self) -> bool:
        said = os.read(self._errors.fileno(), TAIL_BYTES)
        self._tail = (self._tail + said)[-TAIL_BYTES:]
        if not said:
            self._loop.remove_reader(self._errors.fileno())
        return bool(said)


class StdinFetcher:
    """Reads standard input from where it stands; it has no ranges, no size and no identity, and comes once.

    No thread waits for it. A file at standard input is read on the loop, 256 KiB at a time.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    @asynccontextmanager
    async def open(self, wanted: ObjectRange, *, buffer: memoryview | None = None) -> AsyncGenerator[ChunkBody, None]:
        del buffer
        self._counters.requests += 1
        descriptor = _duplicate(wanted.url)
        try:
            async with aclosing(self._chunks(wanted.url, descriptor)) as chunks:
                yield ChunkBody(Answer(0, None, None, ranged=False), chunks)
        finally:
            os.close(descriptor)

    async def aclose(self) -> None:
        """Nothing is kept between bodies; standard input stays open."""

    async def _chunks(self, url: str, descriptor: int) -> AsyncGenerator[bytes, None]:
        position = 0
        try:
            while chunk := await read_when_ready(descriptor):
                position += len(chunk)
                self._counters.bytes += len(chunk)
                self._counters.piped += len(chunk)
                yield chunk
        except OSError as error:
            raise translate_os_error(error, url, position) from error


def _duplicate(url: str) -> int:
    # In a process that began without standard input, and in multiprocessing's, number 0 is something else.
    if sys.__stdin__ is None or sys.__stdin__.closed:
        raise FetchError("standard input is closed", url=url)
    try:
        # A number of its own: the loop may wait for 0 on behalf of somebody else.
        return os.dup(sys.__stdin__.fileno())
    except OSError as error:
        raise translate_os_error(error, url) from error
