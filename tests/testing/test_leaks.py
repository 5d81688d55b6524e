from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from asyncwds.testing import leaks


def test_nothing_left_is_fine():
    with leaks():
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        socket.create_server(("127.0.0.1", 0)).close()


def test_a_thread_is_told():
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name="left-over")
    with pytest.raises(AssertionError, match="left-over"), leaks(patience=0.05):
        thread.start()
    ended.set()
    thread.join()


def test_a_descriptor_is_told():
    with pytest.raises(AssertionError, match="descriptor .* → socket"), leaks(patience=0.05):
        sock = socket.create_server(("127.0.0.1", 0))
    sock.close()


def test_a_zombie_is_told():
    with pytest.raises(AssertionError, match="process"), leaks(patience=0.05):
        process = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    process.wait()


def test_what_goes_away_in_time_is_fine():
    with leaks():
        threading.Timer(0.05, int).start()


def test_an_error_goes_first():
    with pytest.raises(KeyError), leaks():
        sock = socket.create_server(("127.0.0.1", 0))
        raise KeyError
    sock.close()


async def test_in_a_coroutine_the_loop_goes_on():
    import asyncio

    async with leaks():
        task = asyncio.create_task(asyncio.sleep(0.05))
        sock = socket.create_server(("127.0.0.1", 0))
        task.add_done_callback(lambda _: sock.close())
    await task
