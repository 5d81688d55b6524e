"""Shards to read, and the server to read them from."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asyncwds.testing import write_shards


@contextmanager
def shards(count: int, *, samples: int, size: int, fields: Sequence[str] = ("bin",)) -> Iterator[dict[str, Any]]:
    """A world of local files: `count` shards of `samples` samples each, whose fields are `size` random [bytes]."""
    with tempfile.TemporaryDirectory(prefix="asyncwds-bench-") as folder:
        paths = write_shards(folder, shards=count, samples=samples, size=size, fields=fields)
        total = sum(Path(path).stat().st_size for path in paths)
        yield {"folder": folder, "urls": paths, "samples": count * samples, "bytes": total, "connections": 1}


@contextmanager
def served(
    world: dict[str, Any],
    *,
    connections: int,
    first_byte: float = 0.0,
    rate: float | None = None,
    weather: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """The same world behind an HTTP server in a process of its own: `first_byte` [s] of delay, `rate` [bytes/s] per connection.

    `weather` are arguments of `asyncwds.testing.FaultProfile`.
    """
    command = [sys.executable, "-m", "asyncwds.testing", world["folder"], "--first-byte-delay", str(first_byte)]
    if rate is not None:
        command += ["--bytes-per-second", str(rate)]
    if weather is not None:
        command += ["--weather", json.dumps(weather)]
    paths = [Path(path) for path in world["urls"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            root = server.stdout.readline().strip()
            urls = [root + path.relative_to(world["folder"]).as_posix() for path in paths]
            objects = [[url, path.stat().st_size] for url, path in zip(urls, paths, strict=True)]
            where = {"urls": urls, "objects": objects, "server": root, "process": server.pid}
            yield {**world, **where, "connections": connections}
        finally:
            server.terminate()
