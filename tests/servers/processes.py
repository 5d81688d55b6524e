"""Servers for tests as processes of their own, which end with the test process, however that ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn


def leave_out(reason: str) -> NoReturn:
    """What needs this server is skipped; where `CI=true` says that all must run, it is an error."""
    import pytest  # the benchmarks start servers too, without it

    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(name: str) -> str:
    """A program that a Python package brought along, or one on PATH."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        leave_out(f"{name} is missing: it is installed by the dependencies in tox.ini")
    return found


def free_ports(count: int) -> list[int]:
    """Ports on the loopback interface that nothing listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def running(command: list[str], folder: Path, env: Mapping[str, str], is_up: Callable[[], bool]) -> Iterator[None]:
    """Starts a server, waits until it is up, and kills it in the end: what it stores is for the tests alone."""
    log = folder / "log"
    # The kernel kills it when the process that started it is gone, even where that was killed itself.
    dies_with_us = [shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            dies_with_us, cwd=folder, env={**os.environ, **env}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 90
        while not is_up():
            assert process.poll() is None, f"{command[0]} ended: {log.read_text('utf-8', 'replace')[-3000:]}"
            assert time.monotonic() < deadline, f"{command[0]} did not start: {log.read_text('utf-8', 'replace')[-3000:]}"
            time.sleep(0.05)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
