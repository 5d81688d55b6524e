"""A training loop that is killed at random moments; `python -m bench.killed` does it 200 times."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "bench" / "killed.py"


def test_what_is_killed_at_any_moment_goes_on_with_the_same_batches() -> None:
    command = [sys.executable, "-P", str(PROGRAM), "dataset", "--times", "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed: 8," in done.stdout
    assert "wrong: 0," in done.stdout
