"""Programs that import torch and end with an iterator in use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from asyncwds.testing import make_shard

PROGRAM = """
import torch, asyncwds as wds
data = wds.WebDataset("a.tar").map(lambda sample: sample)
items, bounded = iter(data), iter(data.with_epoch(100))
next(items), next(bounded)
"""


def test_nothing_is_said_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"{number}", "txt": "x" * 100} for number in range(2000)]))
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
