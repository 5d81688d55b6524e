from __future__ import annotations

import subprocess
import sys
import time

import pytest

from asyncwds import Pipe
from asyncwds.errors import FetchError, FetchTimeoutError, SpecError
from asyncwds.storage import program, shell
from asyncwds.testing import leaks


def test_reading_a_command():
    with leaks(), Pipe("printf 'a\\nbc'", mode="rb", shell=True) as pipe:
        assert pipe.readline() == b"a\n"
        assert pipe.read(1) == b"b"
        assert pipe.read() == b"c"
        assert pipe.read() == b""
        assert pipe.status == 0
    assert pipe.closed


def test_a_list_of_arguments_and_popens_options(tmp_path):
    with Pipe([sys.executable, "-c", "import os; print(os.getcwd())"], mode="rb", cwd=tmp_path) as pipe:
        assert pipe.read().strip() == str(tmp_path).encode()


@pytest.mark.parametrize("mode", ["rb", "wb"])
def test_a_failure_is_an_error(mode):
    command = "cat > /dev/null; exit 3" if mode == "wb" else "echo x; exit 3"
    with leaks(), pytest.raises(OSError, match="status 3") as caught, Pipe(command, mode=mode, shell=True) as pipe:
        if mode == "wb":
            pipe.write(b"x")
        else:
            assert pipe.read(2) == b"x\n"
            pipe.read()
    assert isinstance(caught.value, FetchError)
    assert caught.value.status == 3


@pytest.mark.parametrize("options", [{"ignore_errors": True}, {"ignore_status": [3]}])
def test_failures_that_are_none(options):
    with Pipe("exit 3", mode="rb", shell=True, **options) as pipe:
        assert pipe.read() == b""


def test_writing_to_a_command(tmp_path):
    with leaks(), Pipe(f"cat > {tmp_path}/out", mode="wb", shell=True) as pipe:
        assert pipe.write(b"abc") == 3
        pipe.flush()
        pipe.check_status()
    assert (tmp_path / "out").read_bytes() == b"abc"


def test_writing_to_a_command_that_has_ended():
    with leaks(), pytest.raises(FetchError, match="status 4"), Pipe("exit 4", mode="wb", shell=True, bufsize=0) as pipe:
        for _ in range(200):
            pipe.write(bytes(1 << 16))
            time.sleep(0.01)


def test_a_command_that_had_enough_is_no_failure():
    with leaks(), Pipe("head -c 3 > /dev/null", mode="wb", shell=True) as pipe, pytest.raises(BrokenPipeError):
        for _ in range(1000):
            pipe.write(bytes(1 << 16))
    assert pipe.status == 0


def test_leaving_early_kills_the_command_and_what_it_started():
    with leaks():
        began = time.monotonic()
        with Pipe("yes | cat; sleep 60", mode="rb", shell=True) as pipe:
            assert pipe.read(4) == b"y\ny\n"
        pipe = Pipe("sleep 60 | cat", mode="rb", shell=True)
        pipe.close()
        pipe.close()
        del pipe
        Pipe("sleep 60", mode="rb", shell=True)
        assert time.monotonic() - began < 30


def test_an_error_while_writing_is_not_the_end_of_the_data(tmp_path):
    command = f"cat > {tmp_path}/part && mv {tmp_path}/part {tmp_path}/out"
    with leaks(), pytest.raises(ZeroDivisionError), Pipe(command, mode="wb", shell=True) as pipe:
        pipe.write(b"abc")
        pipe.flush()
        raise ZeroDivisionError
    assert not (tmp_path / "out").exists()


def test_closing_has_a_time_limit():
    with leaks(), pytest.raises(FetchTimeoutError, match=r"did not end in 0.1 s"):
        Pipe("sleep 60", mode="wb", shell=True, timeout=0.1).close()


def test_a_mode_that_makes_no_sense():
    with pytest.raises(SpecError, match="mode must be 'rb' or 'wb'"):
        Pipe("true", mode="x")


def test_no_command_in_secure_mode(monkeypatch):
    monkeypatch.setenv("WDS_SECURE", "1")
    for opened in (
        lambda: Pipe("true", mode="rb", shell=True),
        lambda: shell("pipe:true"),
        lambda: program(["true"], None)("x://y"),
    ):
        with pytest.raises(ValueError, match="WDS_SECURE"):
            opened()


def test_a_shells_command():
    with shell("pipe:echo a:b") as pipe:
        assert pipe.read() == b"a:b\n"
    assert repr(pipe) == "<Pipe 'echo a:b'>"


def test_a_program_that_opens_urls(tmp_path):
    opened = program(["echo", "URL"], ["sh", "-c", f"cat > {tmp_path}/out"])
    with opened("x://y") as pipe:
        assert pipe.read() == b"x://y\n"
    with opened("x://y", "wb") as pipe:
        pipe.write(b"z")
    assert (tmp_path / "out").read_bytes() == b"z"
    with pytest.raises(SpecError, match="mode 'wb'"):
        program(["echo"], None)("x://y", "wb")
    with pytest.raises(FetchError, match="no-such-program is not installed"):
        program(["no-such-program", "URL"], None)("x://y")


def test_a_pipe_that_is_left_to_the_interpreters_end():
    code = "from asyncwds import Pipe; p = Pipe('yes', mode='rb', shell=True); print(p.read(2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("b'y\\n'\n", "", 0)
