import os
import sys
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import asyncwds.compat
from asyncwds.runtime import secure_mode
from asyncwds.testing import make_shard

FLAGS = ("WDS_SECURE", "WDS_PYTORCH_WEIGHTS_ONLY")


@pytest.fixture
def installed() -> Iterator[None]:
    asyncwds.compat.install()
    yield
    asyncwds.compat.uninstall()


@pytest.fixture
def flags() -> Iterator[None]:
    """For tests that set flags, which stand in the environment."""
    before = {name: os.environ.get(name) for name in FLAGS}
    yield
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    assert not secure_mode()


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pattern of six shards of five samples: jpg, png, cls, txt, json."""
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(6):
        (folder / f"train-{shard:03}.tar").write_bytes(make_shard([sample(shard * 5 + i) for i in range(5)]))
    return str(folder / "train-{000..005}.tar")


def sample(number: int) -> dict[str, object]:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return {
        "__key__": f"k{number:03}",
        "jpg": encoded(pixels, "JPEG"),
        "png": encoded(pixels, "PNG"),
        "cls": str(number % 4).encode(),
        "txt": f"caption {number}".encode(),
        "json": f'{{"number": {number}, "width": 8}}'.encode(),
    }


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture
def without_webdataset() -> Iterator[None]:
    """As in an environment where WebDataset is not installed, and has not been imported."""
    asyncwds.compat.uninstall()
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "webdataset"}
    for name in before:
        del sys.modules[name]
    yield
    asyncwds.compat.uninstall()
    sys.modules.update(before)
