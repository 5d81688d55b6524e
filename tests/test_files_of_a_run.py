"""Whoever follows one run over HTTP opens few files. Fewer is better: take the number down with them."""

import functools
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncwds as wds
from asyncwds.testing import write_shards

PACKAGE = Path(wds.__file__).parent
MOST_FILES = 75  # some of them only without the accelerator, or where the machine is so slow that a part is late


class Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def read(url: str) -> int:
    return sum(1 for _ in wds.WebDataset(f"{url}/shard-{{000000..000001}}.tar").shuffle(10).decode())


def files_entered(url: str) -> set[str]:
    """The files of functions that run, from the making of a dataset to its last sample; bodies of modules and classes are none."""
    entered = set()

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            entered.add(frame.f_code.co_filename)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        assert read(url) == 8
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    paths = [Path(name) for name in entered]
    return {str(path.relative_to(PACKAGE)) for path in paths if path.is_relative_to(PACKAGE) and "testing" not in path.parts}


def test_a_run_enters_few_files(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, shards=2, samples=4)
    assert len(shards) == 2
    with served(tmp_path) as url:
        read(url)  # what imports run is no part of it
        found = files_entered(url)
    assert len(found) <= MOST_FILES, "\n".join(sorted(found))
