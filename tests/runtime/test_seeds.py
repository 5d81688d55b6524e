from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from asyncwds.errors import SpecError
from asyncwds.runtime import dataset_seed, make_seed


def test_a_seed_is_the_same_in_every_process() -> None:
    code = "from asyncwds.runtime import make_seed; print(make_seed('träin', b'x', 1, None, (2, 'y')))"
    outputs = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env={"PYTHONHASHSEED": hash_seed}).stdout
        for hash_seed in "123"
    }
    assert outputs == {b"%d\n" % make_seed("träin", b"x", 1, None, (2, "y"))}
    assert make_seed("train", 1) == 813019070


def test_each_part_and_its_place_count() -> None:
    parts: list[tuple[Any, ...]] = [("a", 1), ("a", 2), (1, "a"), ("b", 1), ("a", (1,), 0), (0.5,), (None, 7)]
    assert len({make_seed(*part) for part in parts}) == len(parts)
    assert all(0 <= make_seed(*part) < 2**31 for part in parts)


@pytest.mark.parametrize("part", [object(), [1], {"a": 1}, len])
def test_what_differs_from_process_to_process_is_refused(part: Any) -> None:
    with pytest.raises(SpecError, match=type(part).__name__):
        make_seed(1, part)


def test_the_seed_of_a_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SEED", "7")
    assert (dataset_seed(3), dataset_seed(0), dataset_seed(None)) == (3, 0, 7)
    monkeypatch.setenv("WDS_SEED", "")
    assert 0 <= dataset_seed(None) < 1_000_000
    monkeypatch.setenv("WDS_SEED", "x")
    with pytest.raises(SpecError, match="WDS_SEED"):
        dataset_seed(None)
