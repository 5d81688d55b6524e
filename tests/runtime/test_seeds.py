from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from asyncwds.errors import SpecError
from asyncwds.runtime import dataset_seed, item_rng, make_seed
from asyncwds.samples import Origin


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


def test_draws_for_an_item_depend_on_seed_epoch_and_origin_alone() -> None:
    origin = Origin(3, 4, 512)
    assert item_rng(1, 2, origin).random() == item_rng(1, 2, (3, 4, 512)).random() == 0.9299337935327172
    others = [
        (1, 2, (3, 4, 1024)),
        (1, 2, (3, 5, 512)),
        (1, 2, (2, 4, 512)),
        (1, 3, origin),
        (2, 2, origin),
        (1, 2, (*origin, *origin)),
    ]
    assert len({item_rng(*each).random() for each in [*others, (1, 2, origin)]}) == len(others) + 1


def test_the_seed_of_a_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_SEED", "7")
    assert (dataset_seed(3), dataset_seed(0), dataset_seed(None)) == (3, 0, 7)
    monkeypatch.setenv("WDS_SEED", "")
    assert 0 <= dataset_seed(None) < 1_000_000
    monkeypatch.setenv("WDS_SEED", "x")
    with pytest.raises(SpecError, match="WDS_SEED"):
        dataset_seed(None)
