"""What the tests of the writers share."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds

Samples = list[dict[str, Any]]


@pytest.fixture
def samples() -> Callable[..., Samples]:
    """`samples(n, size)`: keys "000", …; a field of so many bytes, and a number."""

    def make(n: int, size: int = 100) -> Samples:
        return [{"__key__": f"{number:03d}", "bin": bytes([number % 256]) * size, "cls": number} for number in range(n)]

    return make


@pytest.fixture
def read() -> Callable[..., Samples]:
    """`read(paths)`: the samples as asyncwds reads them, strictly, without what says where they came from."""

    def samples_of(*urls: Any) -> Samples:
        dataset = wds.WebDataset([str(url) for url in urls], shardshuffle=False, empty_check=False).decode()
        return [
            {field: value for field, value in sample.items() if field not in {"__url__", "__local_path__"}} for sample in dataset
        ]

    return samples_of


@pytest.fixture
def listed() -> Callable[[Any], list[tuple[str, bytes]]]:
    """`listed(path)`: names and payloads of the members, by tarfile."""

    def members(path: Any) -> list[tuple[str, bytes]]:
        with tarfile.open(path) as archive:
            return [(info.name, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]

    return members


@pytest.fixture
def names(tmp_path: Path) -> Callable[[], list[str]]:
    """Names of all files in the test's folder."""
    return lambda: sorted(path.name for path in tmp_path.iterdir())


@pytest.fixture
def manifest() -> Callable[[Any], dict[str, Any]]:
    return lambda path: json.loads(Path(path).read_text())
