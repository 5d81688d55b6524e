"""The command line as a user runs it, but in this process: an interpreter of its own takes half a second of CPU time.

What a process would have of its own is set for the call: descriptors 0 to 2 and the streams on them, the folder, the environment,
filters of warnings, and no handler of logged lines. Signals, closed pipes and terminals take a process: `COMMAND` starts one.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from tqdm import tqdm

from asyncwds.cli import main

COMMAND = [sys.executable, "-m", "asyncwds"]


@dataclass(frozen=True)
class Done:
    """Named as in `subprocess.CompletedProcess`."""

    returncode: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode()

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode()


def run_asyncwds(*arguments: Any, stdin: bytes = b"", cwd: str | Path = ".", env: Mapping[str, str] | None = None) -> Done:
    """With `env` added to the environment."""
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile()) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        with chdir(cwd), _environment(env or {}), _as_in_a_new_process(), _descriptors([file.fileno() for file in files]):
            status = _status_of([str(argument) for argument in arguments])
        output, errors = (os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in files[1:])
    return Done(status, output, errors)


def _status_of(arguments: list[str]) -> int:
    with _streams():
        try:
            main(arguments, prog_name="asyncwds")
        except SystemExit as end:
            return int(end.code or 0)
    raise AssertionError("the command line ends by an exit")


@contextmanager
def _streams() -> Iterator[None]:
    """On the descriptors."""
    kept = sys.stdin, sys.stdout, sys.stderr
    with ExitStack() as stack:
        sys.stdin = stack.enter_context(open(0, closefd=False))
        sys.stdout = stack.enter_context(open(1, "w", closefd=False))
        sys.stderr = stack.enter_context(open(2, "w", closefd=False, errors="backslashreplace"))
        try:
            yield
        finally:
            sys.stdin, sys.stdout, sys.stderr = kept


@contextmanager
def _descriptors(replacements: list[int]) -> Iterator[None]:
    kept = [os.dup(number) for number in range(3)]
    try:
        for number, replacement in enumerate(replacements):
            os.dup2(replacement, number)
        yield
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


@contextmanager
def _as_in_a_new_process() -> Iterator[None]:
    """Python's filters of warnings; but what is left open stays an error of the test."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        with warnings.catch_warnings():
            warnings.resetwarnings()
            for ignored in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
                warnings.simplefilter("ignore", ignored)
            warnings.simplefilter("error", ResourceWarning)
            yield
    finally:
        root.handlers = handlers
        if tqdm.monitor is not None:  # a thread that ends with the process
            tqdm.monitor.exit()
            tqdm.monitor = None
