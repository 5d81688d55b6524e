"""What needs no server: ranges, histograms, search; and the command, as a user runs it."""

import signal
import subprocess
from urllib.request import urlopen

import numpy as np
import pytest
from command_line import COMMAND, run_asyncwds

from asyncwds import make_index
from asyncwds.testing import make_samples, make_shard
from asyncwds.viewer import find_key, histogram, parse_range, search_keys


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=7-5", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
    ],
)
def test_ranges(header, part):
    assert parse_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_ranges_behind_the_end(header):
    with pytest.raises(ValueError, match="10 bytes"):
        parse_range(header, 10)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        (np.array([1, 1, 2]), [(1, 2, 3)]),
        (np.array([5, 5]), [(5, 6, 2)]),
        (np.array([0, 1, 3]), [(0, 1, 1), (1, 2, 1), (2, 3, 1)]),
        (np.array([]), []),
        ([3, 1, 3], [("1", 1), ("3", 2)]),
        (["b", "a", "b", True], [("b", 2), ("a", 1), ("true", 1)]),
    ],
)
def test_histograms(values, bars):
    found = [tuple(bar.values()) for bar in histogram(values)["bars"]]
    assert found == bars


def test_a_histogram_with_a_long_tail_has_bins_that_grow():
    found = histogram(np.array([*range(1, 100), 100_000]))
    widths = [bar["to"] - bar["from"] for bar in found["bars"]]
    assert sum(bar["count"] for bar in found["bars"]) == 100
    assert widths[-1] > 100 * widths[0]


def test_a_match_that_reaches_into_the_next_key_is_none(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": key, "txt": "x"} for key in ("ab", "ca", "b", "bca", "bc")]))
    shards = [shard.columns for shard in make_index(str(tmp_path / "a.tar")).shards]
    assert search_keys(shards, "bc", 10) == ([4, 3], None)  # the one with this key is put first
    assert search_keys(shards * 2, "b", 3) == ([2, 0, 3], 4)
    assert search_keys(shards * 2, "b", 9, 4) == ([4, 5, 7, 8, 9], None)
    assert search_keys(shards, "", 9) == ([], None)
    assert (find_key(shards * 2, "bc"), find_key(shards, "c")) == (4, None)


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(3)))
    command = [*COMMAND, "view", str(tmp_path / "a.tar"), "--no-browser"]
    process = subprocess.Popen(
        [*command, "--token", "an-old-token-of-ours"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        address = process.stdout.readline().split()[0]
        assert address.endswith("/an-old-token-of-ours/")
        with urlopen(address + "api/state", timeout=30) as answer:
            assert b'"samples"' in answer.read()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nothing-here/*.tar"], 1, "SpecError"),
        (["a.tar", "--token", "short"], 1, "16"),
        (["a.tar", "--port", "99999"], 1, "port"),
    ],
)
def test_the_command_refuses(arguments, status, message, tmp_path):
    done = run_asyncwds("view", *arguments, "--no-browser", cwd=tmp_path)
    assert done.returncode == status
    assert message in done.stderr
