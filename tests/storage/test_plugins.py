"""`foo://` is added by a package of its own, `tests/plugins/foo_store.py`, by its entry point."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import foo_store
import pytest

import asyncwds as wds
from asyncwds import enforce_security
from asyncwds.errors import SpecError
from asyncwds.runtime import Counters
from asyncwds.settings import Access
from asyncwds.storage import expand_and_list, open_storage
from asyncwds.testing import CHECKS, check_fetcher, leaks, make_samples, make_shard

Put = Callable[[str, bytes], str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOO_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def put(root: Path) -> Put:
    def put(name: str, data: bytes) -> str:
        path = root / "b" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"foo://b/{name}"

    return put


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("WDS_SECURE", "WDS_SCHEMES"):
        monkeypatch.setenv(name, "")  # so that it is taken back
    enforce_security()
    return


@pytest.fixture
def shards(put: Put) -> list[str]:
    """Of 5 samples each."""
    return [put(f"{name}.tar", make_shard(make_samples(5, seed=seed))) for seed, name in enumerate(["x0", "x1", "y0", "sub/x2"])]


def keys(dataset: wds.WebDataset) -> int:
    return sum(1 for _ in dataset)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_passes_the_contract(put: Put, check) -> None:
    async with leaks():
        fetcher = open_storage(Access(), Counters())
        await check(fetcher, put)
        await fetcher.aclose()


async def test_it_passes_the_contract_at_once(put: Put) -> None:
    await check_fetcher(lambda: open_storage(Access(), Counters()), put)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("foo://b/x*.tar", ["x0", "x1"]),
        ("foo://b/**/x?.tar", ["sub/x2", "x0", "x1"]),
        ("foo://b/[xy]0.tar", ["x0", "y0"]),
        ("foo://b/", ["x0", "x1", "y0"]),
        ("foo://b/{x1,y0}.tar", ["x1", "y0"]),
    ],
)
def test_wildcards_and_folders_are_listed(shards: list[str], pattern: str, found: list[str]) -> None:
    assert expand_and_list(pattern) == [f"foo://b/{name}.tar" for name in found]
    assert keys(wds.WebDataset(pattern, shardshuffle=False)) == 5 * len(found)


def test_settings_hold_by_prefix_for_any_scheme(root: Path, shards: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOO_ROOT")
    assert keys(wds.WebDataset("foo://b/*.tar", storage=foo_store.Foo(str(root)))) == 15
    assert keys(wds.WebDataset("gs://b/*.tar", storage={"gs://b/": foo_store.Foo(str(root))})) == 15
    with pytest.raises(SpecError, match="FOO_ROOT says where"):
        keys(wds.WebDataset("foo://b/x0.tar"))


def test_shards_are_written_and_read_again(root: Path) -> None:
    made = list(make_samples(20))
    with wds.ShardWriter("foo://new/%03d.tar", maxcount=8, verbose=0) as writer:
        for sample in made:
            writer.write(sample)
    assert sorted(path.name for path in (root / "new").iterdir()) == ["000.tar", "001.tar", "002.tar"]
    found = list(wds.WebDataset("foo://new/*.tar", shardshuffle=False))
    assert [sample["__key__"] for sample in found] == [sample["__key__"] for sample in made]


def test_an_upload_that_fails_leaves_nothing(root: Path) -> None:
    with pytest.raises(ZeroDivisionError), wds.TarWriter("foo://new/a.tar") as writer:
        writer.write(next(make_samples(1)))
        raise ZeroDivisionError
    assert list((root / "new").iterdir()) == []


async def test_asynchronous_writers_write_to_it(root: Path) -> None:
    async with leaks(), wds.AsyncShardWriter("foo://new/%03d.tar", verbose=0) as writer:
        await writer.write(next(make_samples(1)))
    assert keys(wds.WebDataset("foo://new/000.tar")) == 1


def test_it_is_a_file_too(root: Path) -> None:
    with wds.gopen("foo://b/a", "wb") as file:
        file.write(b"abc")
    with wds.gopen("foo://b/a") as file:
        assert file.read() == b"abc"


def test_a_pickled_dataset_reads_in_another_process(root: Path, shards: list[str], tmp_path: Path) -> None:
    pickled = tmp_path / "dataset"
    pickled.write_bytes(pickle.dumps(wds.WebDataset("foo://b/*.tar", storage=foo_store.Foo(str(root)))))
    program = f"import pickle, sys; sys.path[:] = {sys.path}; print(len(list(pickle.load(open({str(pickled)!r}, 'rb')))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "15\n"


def test_other_packages_are_not_asked_before_they_are_needed(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(1)))
    program = f"""
import sys
sys.path[:] = {sys.path}
import asyncwds as wds
assert len(list(wds.WebDataset({str(tmp_path / "a.tar")!r}))) == 1
print([name for name in ("foo_store", "importlib.metadata", "aiohttp", "botocore", "fsspec") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("absent", "absent: urls are those of the package foo-store .*cannot be loaded: ModuleNotFoundError"),
        ("broken", "cannot be loaded: AttributeError"),
        ("wrong", r"\(foo_store:Foo\), and that is no asyncwds.Scheme"),
    ],
)
def test_a_package_that_is_broken_is_named(scheme: str, message: str) -> None:
    for use in (
        lambda url: keys(wds.WebDataset(url)),
        wds.gopen,
        wds.TarWriter,
        lambda url: expand_and_list(url.replace("a.tar", "*.tar")),
    ):
        with pytest.raises(SpecError, match=message):
            use(f"{scheme}://b/a.tar")


@pytest.mark.usefixtures("secure")
def test_in_secure_mode_it_has_to_be_named(shards: list[str]) -> None:
    for use in (lambda: keys(wds.WebDataset(shards[0])), lambda: wds.TarWriter("foo://b/new.tar")):
        with pytest.raises(SpecError):
            use()
    assert keys(wds.WebDataset(shards[0], storage=foo_store.Foo())) == 5, "the program itself says how"
    enforce_security(schemes=("https", "foo"))
    assert keys(wds.WebDataset(shards[0])) == 5
