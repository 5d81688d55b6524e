from __future__ import annotations

import os
import subprocess
import sys

import pytest

from asyncwds.storage.cache.locks import has_alone, lock_file, lock_span, share_file, unlock_span


@pytest.fixture
def opened(tmp_path):
    """Opens the same file anew each time."""
    descriptors = []

    def another() -> int:
        descriptors.append(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))
        return descriptors[-1]

    yield another
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_file_is_locked_for_one_at_a_time(tmp_path):
    path = str(tmp_path / "lock")
    with lock_file(path), pytest.raises(BlockingIOError), lock_file(path):
        pass
    with lock_file(path) as descriptor:
        assert os.fstat(descriptor).st_size == 0


def test_a_span_is_locked_up_to_what_others_have(opened):
    one, other = opened(), opened()
    assert lock_span(one, 100, 200) == 200
    assert lock_span(other, 0, 300) == 100
    assert lock_span(other, 150, 300) == 150
    assert lock_span(other, 200, 300) == 300
    assert lock_span(one, 0, 50) == 0
    unlock_span(one, 120, 140)
    assert lock_span(other, 110, 300) == 110
    assert lock_span(other, 120, 300) == 140
    assert lock_span(other, 7, 7) == 7
    unlock_span(one, 110, 110)
    assert lock_span(other, 190, 200) == 190


def test_closing_one_leaves_the_locks_of_the_others(opened, tmp_path):
    one, other = opened(), opened()
    assert lock_span(one, 0, 10) == 10
    os.close(os.open(tmp_path / "file", os.O_RDWR))
    assert lock_span(other, 0, 10) == 0


def test_who_shares_a_file_keeps_those_out_who_want_it_alone(opened):
    one, other, third = opened(), opened(), opened()
    assert has_alone(one)
    with pytest.raises(BlockingIOError):
        share_file(other)
    share_file(one)
    share_file(other)
    assert not has_alone(third)
    assert lock_span(third, 5, 6) == 6
    os.close(os.dup(one))
    assert not has_alone(other)


def test_the_locks_of_a_killed_process_are_free(opened, tmp_path):
    code = f"""
import os, sys, time
from asyncwds.storage.cache.locks import lock_span, lock_file
descriptor = os.open({str(tmp_path / "file")!r}, os.O_RDWR | os.O_CREAT)
lock_span(descriptor, 0, 100)
with lock_file({str(tmp_path / "lock")!r}):
    print("locked", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        descriptor = opened()
        assert lock_span(descriptor, 0, 100) == 0
        with pytest.raises(BlockingIOError), lock_file(str(tmp_path / "lock")):
            pass
        child.kill()
        child.wait()
    assert lock_span(descriptor, 0, 100) == 100
    with lock_file(str(tmp_path / "lock")):
        pass
