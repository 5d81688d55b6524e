import subprocess
import sys

import pytest

import asyncwds


def test_every_name_resolves_and_dir_is_these_names():
    assert dir(asyncwds) == sorted(asyncwds.__all__)
    for name in asyncwds.__all__:
        assert getattr(asyncwds, name) is not None


def test_dir_is_the_same_when_names_have_been_used():
    program = "import asyncwds as wds; before = dir(wds); wds.WebDataset, wds.compat.filters; assert dir(wds) == before"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("name", ["tarfile_to_samples", "group_by_keys", "MultiLoader", "compat"])
def test_a_name_may_be_the_first_that_is_used(name):
    subprocess.run([sys.executable, "-c", f"import asyncwds; asyncwds.{name}"], check=True, timeout=60)


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert not hasattr(asyncwds, "nothing_of_that_name")


def test_a_system_without_unix_locks_is_told_so():
    program = "import sys; sys.modules['fcntl'] = None; import asyncwds"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert "ImportError: asyncwds runs on Linux and macOS" in done.stderr.splitlines()[-1]
