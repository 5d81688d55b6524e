"""The code in README.md and docs/ runs, and what the documents promise is there."""

import ast
import asyncio
import importlib.util
import inspect
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import CodeType

import numpy as np
import pytest
from PIL import Image

from asyncwds import errors
from asyncwds.testing import FaultServer, make_shard

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HOST = "https://data.example/"  # in the documents; here it is a server of our own
STORE = "https://storage.example"  # the same, of s3:// with the buckets `bucket` and `public`
BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"needs ([\w, ]+)")  # in the title of a block


def blocks(page: Path, host: str = HOST, store: str = STORE) -> list[CodeType]:
    """The page's Python blocks, each at its own lines, without those that need a library that is not installed."""
    text = page.read_text().replace(HOST, host).replace(STORE, store)
    found = []
    for match in BLOCK.finditer(text):
        needed = NEEDS.search(match[1])
        if needed is None or all(importlib.util.find_spec(name) for name in needed[1].split(", ")):
            above = text[: match.start(2)].count("\n")
            found.append(compile("\n" * above + match[2], page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
    return found


def shard(number: int) -> bytes:
    random = np.random.default_rng(number)
    samples = []
    for index in range(10):
        image = BytesIO()
        Image.fromarray(random.integers(0, 256, (64, 48, 3), np.uint8)).save(image, "jpeg")
        samples.append(
            {"__key__": f"{number}-{index}", "jpg": image.getvalue(), "cls": str(index), "json": f'{{"index": {index}}}'}
        )
    return make_shard(samples)


@pytest.fixture(scope="session")
def shards() -> dict[str, bytes]:
    return {f"train-{number:06d}.tar": shard(number) for number in range(4)}


@pytest.fixture
def host(shards: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a server of the shards; they are in the current folder too, with one that is cut short, and folders of photos."""
    for name, data in shards.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "truncated.tar").write_bytes(shards["train-000000.tar"][:5000])
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "0001.jpg").write_bytes(b"written as it is")
    monkeypatch.chdir(tmp_path)
    with FaultServer(shards, writable=True) as server:
        yield server.url()


def start_store(shards: dict[str, bytes], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a service with the shards in its buckets, which is also what the environment says."""
    store = request.getfixturevalue("seaweedfs")
    with suppress(store.client.exceptions.ClientError):
        store.client.create_bucket(Bucket="bucket")
    for bucket in ("bucket", "public"):
        for name, data in shards.items():
            store.put(name, data, bucket)
    settings = store.settings()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    url: str = store.url
    return url


@pytest.mark.timeout(300)  # training.md starts three trainers, several times each
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_code_runs(
    page: Path, host: str, shards: dict[str, bytes], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_store = "needs botocore" in page.read_text() and importlib.util.find_spec("botocore")
    store = start_store(shards, request, monkeypatch) if with_store else STORE
    namespace: dict[str, object] = {"__name__": page.stem}
    for block in blocks(page, host, store):
        result = eval(block, namespace)
        if inspect.iscoroutine(result):
            asyncio.run(result)


def test_every_error_is_explained() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    classes = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.WdsError)]
    assert [name for name in classes if f"| `{name}`" not in text] == []


def test_the_ci_script_runs_the_readmes_test_command() -> None:
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[-1] in (ROOT / ".ci" / "run").read_text().splitlines()
