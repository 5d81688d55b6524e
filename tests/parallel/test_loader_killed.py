"""Processes that are killed, from outside and with SIGKILL: the others end, and nothing is left in shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest
from shared_memory import left_since, shared_files

from asyncwds.parallel import end_after_parent

PROGRAM = """
import sys, time, threading
import numpy as np
import asyncwds as wds

class Endless:
    def __iter__(self):
        while True:
            yield np.zeros(100_000), "text"

class Busy:
    def __iter__(self):
        yield np.zeros(100_000), "text"
        while True:
            time.sleep(60)

if __name__ == "__main__":
    method, kind, folder = sys.argv[1:]
    loader = wds.loader(globals()[kind](), processes=2, start_method=method, shared_memory=folder or None)
    kept = []
    for number, batch in enumerate(loader):
        kept.append(batch)
        if number == 1:
            print(*[worker.process.pid for worker in loader._group._workers], flush=True)
        if kind == "Endless" and number > 20:
            kept.clear()
            time.sleep(0.01)
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


class Started:
    """The program, when its processes have been making batches for a while."""

    def __init__(self, program, method, kind, folder=""):
        arguments = [sys.executable, str(program), method, kind, str(folder)]
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.workers = [int(pid) for pid in self.process.stdout.readline().split()]
        time.sleep(0.3)

    def finish(self):
        """Exit code and what it wrote to stderr, when all of its processes have ended."""
        _, errors = self.process.communicate(timeout=60)
        until = time.monotonic() + 20
        while alive := [pid for pid in self.workers if is_running(pid)]:
            assert time.monotonic() < until, f"left running: {alive}"
            time.sleep(0.02)
        return self.process.returncode, errors


def is_running(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    return False


@pytest.mark.parametrize(
    ("method", "kind", "shared"),
    [("spawn", "Endless", True), ("fork", "Endless", False), ("fork", "Busy", True), ("forkserver", "Busy", False)],
)
def test_processes_end_when_the_one_that_iterates_is_killed(program, tmp_path, method, kind, shared):
    folder = tmp_path / "shared"
    folder.mkdir()
    before = shared_files(folder)
    started = Started(program, method, kind, folder if shared else "")
    os.kill(started.process.pid, signal.SIGKILL)
    assert started.finish() == (-signal.SIGKILL, "")
    assert left_since(before, folder) == set()


@pytest.mark.parametrize("kind", ["Endless", "Busy"])
def test_a_process_that_is_killed_is_an_error_at_once(program, tmp_path, kind):
    before = shared_files(tmp_path)
    started = Started(program, "fork", kind, tmp_path)
    os.kill(started.workers[1], signal.SIGKILL)
    code, errors = started.finish()
    assert code == 1
    assert errors.splitlines()[-1].startswith(
        f"asyncwds.errors.WorkerDiedError: loader process 1 (pid {started.workers[1]}) was killed by SIGKILL"
    )
    assert left_since(before, tmp_path) == set()


@pytest.mark.parametrize(("method", "kind"), [("spawn", "Busy"), ("fork", "Endless")])
def test_ctrl_c_leaves_one_traceback_and_no_process(program, method, kind):
    started = Started(program, method, kind)
    os.killpg(started.process.pid, signal.SIGINT)
    code, errors = started.finish()
    assert code == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.splitlines()[-1] == "KeyboardInterrupt"


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import asyncwds as wds\nfor batch in wds.loader(range(3)): pass\n")
    done = subprocess.run([sys.executable, str(path)], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert (
        "traceback is on standard error: a script starts processes under `if __name__ == '__main__'" in done.stderr.splitlines()[-1]
    )


def wait_as_child(line):
    end_after_parent(patience=0.0)
    end_after_parent(patience=0.0)
    line.send(os.getpid())
    time.sleep(60)


def wait_as_parent(line):
    get_context("fork").Process(target=wait_as_child, args=(line,)).start()
    time.sleep(60)


def test_a_worker_of_others_ends_when_its_parent_was_killed():
    """As that of a DataLoader which has just begun, and will take whoever is its parent by then for the one to look at."""
    context = get_context("fork")
    received, line = context.Pipe(duplex=False)
    parent = context.Process(target=wait_as_parent, args=(line,))
    parent.start()
    line.close()
    assert received.recv() != parent.pid
    parent.kill()
    parent.join()
    with pytest.raises(EOFError):  # nobody has the other end any more
        received.recv()
