from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request

import pytest


@pytest.fixture
def start(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"data")
    started = []

    def run(*arguments: str, stdin: int) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "asyncwds.testing", str(tmp_path), *arguments]
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield run
    for process in started:
        with process:
            process.kill()


def test_it_serves_a_folder_until_its_stdin_is_closed(start):
    process, url = start("--first-byte-delay", "0.01", "--bytes-per-second", "1e6", stdin=subprocess.PIPE)
    with urllib.request.urlopen(url + "a.tar", timeout=10) as answer:
        assert answer.read() == b"data"
    process.stdin.close()
    assert process.wait(10) == 0


def test_it_serves_without_stdin_until_sigterm(start):
    process, url = start(stdin=subprocess.DEVNULL)
    with urllib.request.urlopen(url + "a.tar", timeout=10) as answer:
        assert answer.read() == b"data"
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == 0
