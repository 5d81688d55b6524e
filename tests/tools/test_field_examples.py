"""The commands of "From the field" in docs/tools.md, each run as it stands there, on fewer shards, and on servers of the tests."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hub import run_hub
from PIL import Image

from asyncwds.cli import main
from asyncwds.testing import FaultServer, make_shard

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"
EXAMPLES = re.search(r"## From the field.*?```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]  # type: ignore[index]
COMMANDS = {
    re.sub(r"^srun ", "", line).split()[1] + (" groups" if "--ratio" in line else ""): line
    for line in EXAMPLES.splitlines()
    if not line.startswith("#")
}
REMOTE = re.compile(r"(?:gs|s3)://")


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "jpeg")
    return file.getvalue()


def mp4() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        pictures = out.add_stream("libx264", rate=5, options={"preset": "ultrafast"})
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        for number in range(11):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), "rgb24")
            frame.pts = number
            out.mux(pictures.encode(frame))
        out.mux(pictures.encode(None))
    return file.getvalue()


def samples(first: int, count: int = 4) -> bytes:
    def about(number: int) -> bytes:
        return json.dumps({"uid": f"{number:032x}", "width": 500 + number}).encode()

    numbers = range(first, first + count)
    return make_shard([{"__key__": f"{number:05d}", "jpg": jpeg(), "json": about(number)} for number in numbers])


@pytest.fixture
def bucket() -> Iterator[FaultServer]:
    with FaultServer({"bucket/file.tar": samples(0, 6)}, writable=True) as server:
        yield server


@pytest.fixture
def run(bucket: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs an example, with other texts in the place of some; returns what the last command of it writes."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, **changed: str) -> str:
        line = COMMANDS[name]
        for old, new in changed.items():
            assert OLD[old] in line
            line = line.replace(OLD[old], new)
        line = REMOTE.sub(bucket.url(), os.path.expandvars(line))
        output = b""
        for command in line.split(" | "):
            words = [word for word in shlex.split(command) if word != "srun"]
            assert words[0] == "asyncwds"
            output = invoke(words[1:], output)
        return output.decode()

    return run


OLD = {
    "ten_thousand": "{00000000..00009999}",
    "thousand": "{000000..000999}",
    "images": "{00000..00999}",
    "inputs": "{00..99}",
    "videos": "{000000..002999}",
    "indexed": "{0000..1281}",
    "parts": "/64",
    "count": "--max-count 1000",
}


def invoke(words: list[str], given: bytes) -> bytes:
    """With `given` on the standard input of this process, which is what `-` reads."""
    Path("given").write_bytes(given)
    before = os.dup(0)
    with Path("given").open("rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        done = CliRunner().invoke(main, words)
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert done.exit_code == 0, done.output
    return done.stdout_bytes


def keys(members: list[tuple[str, bytes]]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name, _ in members))


def stored(bucket: FaultServer, members_of: Any, *names: str) -> list[tuple[str, bytes]]:
    return [member for name in names for member in members_of(bucket.get(name))]


def test_tarp_readme(run: Callable[..., str], members_of: Any, tmp_path: Path) -> None:
    run("shuffle", count="--max-count 4")
    outputs = sorted(tmp_path.glob("output-*.tar"))
    assert [path.name for path in outputs] == ["output-000000.tar", "output-000001.tar"]
    order = keys(members_of(*outputs))
    assert sorted(order) == [f"{number:05d}" for number in range(6)] != order


def test_classes(run: Callable[..., str], bucket: FaultServer, members_of: Any, tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(jpeg())
    run("create")
    found = dict(stored(bucket, members_of, "mybucket/train-000000.tar"))
    assert {name: data for name, data in found.items() if name.endswith("cls")} == {
        "cat/1.cls": b"0", "cat/2.cls": b"0", "dog/1.cls": b"1",
    }  # fmt: skip


def test_stable_validation(run: Callable[..., str], members_of: Any, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"all-{number:06d}.tar").write_bytes(samples(40 * number, 40))
    run("split groups", thousand="{000000..000001}")
    train, val = (keys(members_of(tmp_path / "out" / f"{name}-000000.tar")) for name in ("train", "val"))
    assert (len(train) + len(val), set(train) & set(val)) == (80, set())
    assert 1 <= len(val) <= 5


def test_datacomp(
    run: Callable[..., str], bucket: FaultServer, members_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        bucket.put(f"pool/{number:08d}.tar", samples(4 * number))
    np.save(tmp_path / "uids.npy", np.array([(0, 1), (0, 7), (0, 8), (0, 15)], "u8,u8"))
    for task in range(2):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        run("filter", ten_thousand="{00000000..00000003}", parts="/2")
    outputs = [f"out/{part:03d}-{shard:05d}.tar" for part, shard in ((0, 0), (1, 1), (0, 2), (1, 3))]
    assert keys(stored(bucket, members_of, *outputs)) == ["00001", "00007", "00008", "00015"]


def test_captions(run: Callable[..., str], members_of: Any, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number:05d}.tar").write_bytes(samples(10 + 4 * number))
    named = {"key": [f"{number:05d}" for number in range(10, 18)], "caption": ["", "a", "b", "c", "d", "e", "", "g"]}
    pq.write_table(pa.table(named), tmp_path / "captions.parquet")
    run("join", images="{00000..00001}")
    outputs = sorted(tmp_path.glob("new-*.tar"))
    assert [path.name for path in outputs] == ["new-00000.tar", "new-00001.tar"]
    found = dict(members_of(*outputs))
    assert [found[f"{key}.caption.txt"] for key in keys(list(found.items()))] == [b"b", b"c", b"d", b"e", b"g"]


def test_magick(run: Callable[..., str], members_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("magick") is None:
        script = tmp_path / "bin" / "magick"
        script.parent.mkdir()
        script.write_text('#!/bin/sh\ntest "$*" = "- -resize 256x256 jpg:-" && cat\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    (tmp_path / "in-00.tar").write_bytes(samples(0))
    run("proc", inputs="{00..00}")
    found = members_of(tmp_path / "out-00.tar")
    assert [name for name, data in found if name.endswith(".thumb.jpg") and data[:2] == b"\xff\xd8"] == [
        f"{number:05d}.thumb.jpg" for number in range(4)
    ]


def test_clips(run: Callable[..., str], members_of: Any, tmp_path: Path) -> None:
    shard = make_shard([{"__key__": "v", "mp4": mp4(), "info.json": b'{"of": 1}'}])
    (tmp_path / "yt-000000.tar").write_bytes(shard)
    run("video", videos="{000000..000000}")
    found = dict(members_of(tmp_path / "clips-000000.tar"))
    assert found["v_000.info.json"] == b'{"of": 1}'
    assert json.loads(found["v_000.clip.json"]) == {"key": "v", "begin": 0, "duration": 2, "frames": 10}


def test_indexes(run: Callable[..., str], bucket: FaultServer) -> None:
    for number in range(2):
        bucket.put(f"b/train-{number:04d}.tar", samples(4 * number))
    assert "8 samples in 2 shards" in run("index", indexed="{0000..0001}")
    for name in ("train-0000.tar.idx", "train-0001.idx", "sizes.json"):
        assert bucket.get(f"b/{name}"), name


def test_hub(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    with run_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.origin)
        for number in range(2):
            hub.put("datasets/me/set", f"{number}.tar", samples(4 * number))
        totals = json.loads(run("verify").splitlines()[-1])
    assert (totals["samples"], totals["found"]) == (8, {})


def test_all_of_them_are_run() -> None:
    here = Path(__file__).read_text()
    assert {name for name in COMMANDS if f'run("{name}"' not in here} == set()
