import re
import sys

import numpy as np
import pytest

from asyncwds import errors
from asyncwds.compat import gopen, shardlists, tenbin, utils


def test_deprecated_functions_warn():
    @utils.deprecated
    def old():
        return 1

    @utils.deprecated("there is a better one")
    def older():
        return 2

    with pytest.warns(DeprecationWarning, match="old"):
        assert old() == 1
    with pytest.warns(DeprecationWarning, match="better"):
        assert older() == 2


def test_obsolete_functions_are_errors_unless_allowed(monkeypatch):
    @utils.obsolete
    def old():
        return 1

    @utils.obsolete(reason="it never worked")
    def older():
        return 2

    with pytest.raises(utils.ObsoleteException, match="old"):
        old()
    with pytest.raises(utils.ObsoleteException, match="never worked"):
        older()
    monkeypatch.setenv("ALLOW_OBSOLETE", "1")
    assert (old(), older()) == (1, 2)


def test_a_symbol_that_no_module_has_is_none():
    assert utils.lookup_sym("nothing_of_that_name", [".filters", ".utils"]) is None


def test_places_come_from_the_environment(monkeypatch):
    for name, value in {"RANK": "2", "WORLD_SIZE": "4", "WORKER": "1", "NUM_WORKERS": "3"}.items():
        monkeypatch.setenv(name, value)
    assert utils.pytorch_worker_info() == (2, 4, 1, 3)
    assert utils.pytorch_worker_seed() == 2001


def test_options_of_pipes():
    with gopen.Pipe([sys.executable, "-c", "exit(3)"], mode="rb") as pipe:
        assert gopen.set_options(pipe, timeout=1.0, ignore_status=[3])
        assert (pipe.timeout, pipe.ignore_status, pipe.ignore_errors) == (1.0, [0, 3], False)
        assert pipe.read() == b""
    assert not gopen.set_options(sys.stdin, timeout=1.0)


def test_files_are_opened_by_gopen_file(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    with gopen.gopen_file(f"file:{tmp_path}/x") as file:
        assert file.read() == b"1"
    with pytest.raises(errors.SpecError, match="local file"):
        gopen.gopen_file("http://host/x")


def test_the_environment_of_urls(monkeypatch):
    match = re.match(r"\$\{(\w+)\}", "${PLACE}")
    with pytest.raises(errors.SpecError, match="WDS_PLACE"):
        shardlists.envlookup(match)
    monkeypatch.setenv("WDS_PLACE", "here")
    monkeypatch.setenv("HOME", "/home/me")
    assert shardlists.envlookup(match) == "here"
    assert shardlists.envsubst("${PLACE}/a") == "here/a"
    assert shardlists.expand("~/$WDS_PLACE") == "/home/me/here"


def test_claims_of_processes():
    assert shardlists.check_pid_is_running(1)
    assert not shardlists.check_pid_is_running(2**22 + 1)
    assert shardlists.get_pid_from_filename("a.tar._host-77_") == 77


def test_drawing_shards_again_and_again():
    assert set(shardlists.resampled_(["a"], 3)) == {"a"}


def test_arrays_that_are_checked():
    tenbin.check_acceptable_input_type([np.zeros(1, "f4")], allow64=False)
    tenbin.check_acceptable_input_type([np.zeros(1, "f8")], allow64=True)
    with pytest.raises(ValueError, match="float64"):
        tenbin.check_acceptable_input_type([np.zeros(1, "f8")], allow64=False)
    with pytest.raises(ValueError, match="complex128"):
        tenbin.check_acceptable_input_type([np.zeros(1, complex)], allow64=True)


def test_infos_that_are_required():
    assert tenbin.check_infos([1], ["a"]) == [1]
    assert tenbin.check_infos([1], ["a"], True) == ([1], ["a"])
    assert tenbin.check_infos([1], ["a"], ["a"]) == [1]
    with pytest.raises(ValueError, match="infos"):
        tenbin.check_infos([1], ["a"], ["b"])


def test_chunks_of_a_stream(tmp_path):
    with (tmp_path / "x").open("wb") as stream:
        tenbin.write_chunk(stream, np.arange(6, dtype="i4").reshape(2, 3))
        tenbin.write_chunk(stream, b"text")
    with (tmp_path / "x").open("rb") as stream:
        assert np.frombuffer(tenbin.read_chunk(stream), "i4").tolist() == list(range(6))
        assert [tenbin.read_chunk(stream), tenbin.read_chunk(stream)] == [b"text", None]
    assert [bytes(chunk) for chunk in tenbin.decode_chunks(tenbin.encode_chunks([b"text", b""]))] == [b"text", b""]
    with pytest.raises(ValueError, match="bytes"):
        tenbin.bytelen(5)
    with pytest.raises(ValueError, match="type of arrays"):
        tenbin.decode_header(tenbin.encode_header(np.zeros(1)).replace(b"f8", b"x9"))
