"""`cat --window`: samples after each other as one."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import SampleError, SpecError
from asyncwds.tools import Inputs, Outputs, Selection, Windows, cat_shards


def keys_of(members: list[tuple[str, bytes]]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name, _ in members))


def test_fields_are_numbered_and_payloads_copied(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    shard = numbered("a.tar", 4)
    cat_shards(Inputs(urls=[shard]), Outputs(target=str(tmp_path / "out.tar")), windows=Windows(length=2, stride=2))
    values = dict(members_of(shard))
    assert members_of(tmp_path / "out.tar") == [
        (f"000{first}.{number}.{field}", values[f"000{first + number}.{field}"])
        for first in (0, 2)
        for number in (0, 1)
        for field in ("cls", "json", "jpg")
    ]


@pytest.mark.parametrize(
    ("windows", "keys", "dropped"),
    [
        ({"length": 3}, (0, 1, 2, 3, 4, 5), {"joined": 2}),
        ({"length": 4, "within_shard": True}, (0, 1), {"joined": 3, "behind": 3}),
        ({"length": 3, "stride": 2, "within_shard": True}, (0, 2, 5), {"joined": 5}),
        ({"length": 3, "stride": 2}, (0, 2, 4), {"joined": 4, "behind": 1}),
        ({"length": 2, "stride": 3, "within_shard": True}, (0, 3, 5), {"joined": 3, "between": 2}),
        ({"length": 1, "stride": 4}, (0, 4), {"between": 6}),
        ({"length": 9}, (), {"behind": 8}),
    ],
)
def test_what_is_in_no_window_is_reported(
    windows: Any, keys: Any, dropped: Any, numbered: Any, members_of: Any, tmp_path: Path
) -> None:
    shards = [numbered("a.tar", 5), numbered("b.tar", 3, 5)]
    report = cat_shards(Inputs(urls=shards), Outputs(target=str(tmp_path / "out.tar")), windows=Windows(**windows))
    assert keys_of(members_of(tmp_path / "out.tar")) == [f"{key:04d}" for key in keys]
    found: Counter[str] = Counter()
    for reason, number in report.dropped.items():
        found["joined" if reason.startswith("in a window") else reason.split()[0]] += number
    assert found == dropped
    assert report.samples_in == len(keys) + sum(dropped.values())


def test_after_selection_and_before_new_keys(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    selection = Selection(where="cls != 1", fields="cls")
    outputs = Outputs(target=str(tmp_path / "out.tar"))
    cat_shards(Inputs(urls=[numbered("a.tar", 5)]), outputs, selection, windows=Windows(length=2, stride=2), rekey="w{index}")
    assert members_of(tmp_path / "out.tar") == [("w0.0.cls", b"0"), ("w0.1.cls", b"2"), ("w1.0.cls", b"3"), ("w1.1.cls", b"4")]


def test_fields_that_all_have_alike_stand_once(write: Any, members_of: Any, tmp_path: Path) -> None:
    shard = write("a.tar", [("a.jpg", b"1"), ("a.set.json", b"{}"), ("b.set.json", b"{}"), ("b.jpg", b"2")])
    out = str(tmp_path / "out.tar")
    cat_shards(Inputs(urls=[shard]), Outputs(target=out), windows=Windows(length=2, shared=["set.*"]))
    assert members_of(out) == [("a.0.jpg", b"1"), ("a.1.jpg", b"2"), ("a.set.json", b"{}")]
    for members in ([("b.set.json", b"[]")], [("b.jpg", b"2")]):
        other = write("b.tar", [("a.set.json", b"{}"), *members])
        with pytest.raises(SampleError, match=r"'set.json' is not the same.*key=b"):
            cat_shards(Inputs(urls=[other]), Outputs(target=out, force=True), windows=Windows(length=2, shared=["set.*"]))
    clash = write("c.tar", [("a.jpg", b"1"), ("a.0.jpg", b"2")])
    with pytest.raises(SampleError, match="the name of another one"):
        cat_shards(Inputs(urls=[clash]), Outputs(target=out, force=True), windows=Windows(length=1, shared=["0.jpg"]))


def test_what_makes_no_sense(numbered: Any, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="without mix"):
        cat_shards(Inputs(urls=[numbered()], mix=2), Outputs(target=None, dry_run=True), windows=Windows(length=2))
    for wrong in ({"length": 0}, {"length": 2, "stride": 0}):
        with pytest.raises(SpecError):
            Windows(**wrong)


def test_falling_things(tmp_path: Path) -> None:
    """One shard a sequence, settings for all, then windows of three frames in a random order."""
    with zipfile.ZipFile(tmp_path / "fat.zip", "w") as archive:
        for place, frames in (("kitchen", 5), ("temple", 2), ("forest", 4)):
            archive.writestr(f"{place}/_camera_settings.json", json.dumps({"at": place}))
            for frame in range(frames):
                archive.writestr(f"{place}/{frame:06d}.left.jpg", f"{place} {frame}")
    asyncwds = f"{shlex.quote(sys.executable)} -m asyncwds"
    (tmp_path / "run.sh").write_text(
        f"""
        {asyncwds} create --from zip fat.zip --group-by dirname --broadcast '_*_settings.json' --shard-per-group \\
            -o 'seq/ft-{{shard:06d}}.tar'
        {asyncwds} cat 'seq/*.tar' --window 3 --within-shard --shared 'camera*' -o - |
            {asyncwds} shuffle - --seed 0 --max-size 1GB -o 'ft3-{{shard:06d}}.tar'
        """
    )
    done = subprocess.run(["sh", "-e", "run.sh"], cwd=tmp_path, capture_output=True, timeout=100, check=True)
    assert b"11 samples in, 5 out in 1 shard\n  2 dropped: behind the last whole window of its shard\n" in done.stderr
    samples = list(wds.WebDataset(str(tmp_path / "ft3-000000.tar"), shardshuffle=False))
    assert {sample["__key__"] for sample in samples} == {
        *[f"kitchen/{frame:06d}" for frame in range(3)],
        *[f"forest/{frame:06d}" for frame in range(2)],
    }
    for sample in samples:
        place, _, first = sample["__key__"].partition("/")
        assert [sample[f"{number}.left.jpg"] for number in range(3)] == [f"{place} {int(first) + n}".encode() for n in range(3)]
        assert json.loads(sample["camera_settings.json"]) == {"at": place}
