"""Lists of shards, splitters and separate stages do what WebDataset's do."""

from __future__ import annotations

import io
import random
from contextlib import suppress
from itertools import islice
from typing import Any

import pytest
import webdataset
from webdataset import shardlists as theirs
from webdataset import tariterators
from webdataset.gopen import rewrite_url
from webdataset.pytorch import IterableDataset

import asyncwds
from asyncwds import MultiShardSample, shardlists
from asyncwds.errors import SampleError, TarError
from asyncwds.shards import rewritten
from asyncwds.testing import make_shard

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

URLS = [f"s{number}.tar" for number in range(10)]


def urls(items: Any) -> list[str]:
    return [item["url"] for item in items]


# -- lists


@pytest.mark.parametrize("seed", [None, 0, 1, 17, 2**40])
@pytest.mark.parametrize("source", ["s{0..9}.tar", URLS, URLS[:1], "a-{00..30}.tar::b.tar"])
def test_simple_lists(seed: int | None, source: Any) -> None:
    assert urls(shardlists.SimpleShardList(source, seed)) == urls(theirs.SimpleShardList(source, seed))
    assert len(shardlists.SimpleShardList(source, seed)) == len(theirs.SimpleShardList(source, seed))


def test_the_order_that_webdatasets_own_tests_pin() -> None:
    assert urls(shardlists.SimpleShardList([str(number) for number in range(10)], seed=17))[0] == "7"


@pytest.mark.parametrize("seed", [0, 3, 99])
@pytest.mark.parametrize(("rank", "worker"), [(0, 0), (0, 3), (5, 2)])
def test_deterministic_resampling(seed: int, rank: int, worker: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": rank, "WORLD_SIZE": 8, "WORKER": worker, "NUM_WORKERS": 4}.items():
        monkeypatch.setenv(name, str(value))
    lists = [module.ResampledShards("s{0..9}.tar", 30, seed=seed, deterministic=True) for module in (theirs, shardlists)]
    for _epoch in range(3):
        assert urls(lists[0]) == urls(lists[1])


def test_deterministic_resampling_with_a_seed_of_the_workers_own() -> None:
    lists = [module.ResampledShards(URLS, 30, 1, lambda: 77, True) for module in (theirs, shardlists)]
    assert urls(lists[0]) == urls(lists[1])


@pytest.mark.parametrize(
    "pattern",
    ["a{0..3}.tar", "a::b", "${ROOT}/x{a,b}.tar::y.tar", "${NESTED}/x", "pipe:cat {a,b}", "a-{000..002}.tar::s3://b/c.tar"],
)
def test_expanding(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WDS_ROOT", "/data/{1..2}")
    monkeypatch.setenv("WDS_NESTED", "${ROOT}/y")
    assert shardlists.expand_urls(pattern) == theirs.expand_urls(pattern)
    assert shardlists.expand_source(pattern) == theirs.expand_source(pattern)


@pytest.mark.parametrize("source", [URLS, iter(URLS), tuple(URLS)])
def test_expanding_iterables(source: Any) -> None:
    assert shardlists.expand_source(source, 10) == URLS
    assert theirs.expand_source(URLS, 10) == URLS


SPEC: dict[str, Any] = {
    "prefix": "s3://",
    "buckets": "main",
    "datasets": [
        {"name": "a", "shards": "a-{0..9}.tar", "choose": 3},
        {"buckets": ["other"], "shards": ["b-{0..4}.tar", "c.tar"], "resample": 5},
        {"name": "all", "shards": ["d-{0..3}.tar"]},
    ],
}
SPECS = {
    "all three": SPEC,
    "only choose": {"datasets": [{"shards": "a-{0..9}.tar", "choose": 4}]},
    "only resample": {"datasets": [{"shards": "a-{0..9}.tar", "resample": 40}]},
    "neither": {"prefix": "/p/", "datasets": [{"shards": "a-{0..9}.tar"}, {"buckets": "b", "shards": ["c", "d"]}]},
    "choose below 1": {"datasets": [{"shards": "a-{0..9}.tar", "choose": 0, "resample": -1}]},
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("epoch", [0, 1, 12])
def test_specs(name: str, epoch: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ALLOW_OBSOLETE", "1")
    their_sample, our_sample = theirs.MultiShardSample(SPECS[name]), MultiShardSample(SPECS[name])
    their_sample.set_epoch(epoch)
    our_sample.set_epoch(epoch)
    expected = their_sample.get_shards_for_epoch()
    assert our_sample.get_shards_for_epoch() == expected
    assert urls(our_sample) == expected


# -- splitters and stages


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (0, 2), (1, 2), (2, 5)])
@pytest.mark.parametrize(("worker", "workers"), [(0, 1), (1, 3)])
def test_splitters(rank: int, world: int, worker: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": rank, "WORLD_SIZE": world, "WORKER": worker, "NUM_WORKERS": workers}.items():
        monkeypatch.setenv(name, str(value))
    for name in ("split_by_node", "split_by_worker", "single_node_only"):
        outcomes = []
        for module in (theirs, shardlists):
            try:
                outcomes.append(list(getattr(module, name)(iter(range(17)))))
            except ValueError:
                outcomes.append("ValueError")
        assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", ["non_empty", "check_empty"])
@pytest.mark.parametrize("items", [[], [1, 2], [None]])
def test_stages_that_must_not_be_empty(name: str, items: list[Any]) -> None:
    outcomes = []
    their_module = theirs if name == "non_empty" else __import__("webdataset.compat").compat
    for module in (their_module, asyncwds):
        try:
            outcomes.append(list(getattr(module, name)(iter(items))))
        except ValueError:
            outcomes.append("ValueError")
    assert outcomes[0] == outcomes[1]


# -- separate stages

SAMPLES = [{"__key__": f"d/k{n}", "txt": f"text {n}", "B.CLS": str(n), "empty": b""} for n in range(4)]
ARCHIVES = {
    "plain": make_shard(SAMPLES),
    "gz": make_shard(SAMPLES, compress="gz"),
    "bz2": make_shard(SAMPLES, compress="bz2"),
    "xz": make_shard(SAMPLES, compress="xz"),
    "pax": make_shard(SAMPLES, format="pax"),
    "gnu": make_shard([{"__key__": "k" * 150, "txt": "x"}], format="gnu"),
    "meta": make_shard([{"__key__": "__meta__", "txt": "m"}, {"__key__": "__x__/a", "txt": "m"}, *SAMPLES]),
    "loose": make_shard([{"__key__": "a", "": "x"}, {"__key__": ".hidden", "txt": "x"}, *SAMPLES]),
    "no samples": make_shard([]),
}


def expanded(module: Any, data: bytes, **options: Any) -> list[Any]:
    stream = [{"url": "u", "stream": io.BytesIO(data), "local_path": "/x"}]
    return [dict(file) for file in module.tar_file_expander(stream, **options) if file]


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("options", ["none", "select", "rename", "both"])
@pytest.mark.filterwarnings("ignore:the key")
def test_unpacking_and_grouping(name: str, options: str) -> None:
    functions: dict[str, Any] = {}
    if options in ("select", "both"):
        functions["select_files"] = lambda fname: "txt" in fname
    if options in ("rename", "both"):
        functions["rename_files"] = lambda fname: fname.replace(".B", ".txt.B")
    files = [expanded(module, ARCHIVES[name], **functions) for module in (tariterators, asyncwds.tariterators)]
    assert files[0] == files[1]
    for arguments in ({}, {"lcase": False}, {"suffixes": {"txt"}}, {"keys": lambda fname: tuple(fname.rsplit(".", 1))}):
        with suppress(AttributeError):  # keys() of names without a dot
            samples = [list(module.group_by_keys(iter(files[0]), **arguments)) for module in (tariterators, asyncwds.tariterators)]
            assert samples[0] == samples[1]


@pytest.mark.parametrize("name", ["plain", "gz", "pax"])
def test_files_of_an_archive(name: str) -> None:
    files = [list(module.tar_file_iterator(io.BytesIO(ARCHIVES[name]))) for module in (tariterators, asyncwds.tariterators)]
    assert files[0] == files[1]
    everything = [
        list(module.tar_file_iterator(io.BytesIO(ARCHIVES["meta"]), skip_meta=None))
        for module in (tariterators, asyncwds.tariterators)
    ]
    assert everything[0] == everything[1]


@pytest.mark.parametrize("handler", ["reraise_exception", "ignore_and_continue"])
@pytest.mark.parametrize("damage", ["garbage", "empty", "missing", "cut in a payload", "duplicate", "none"])
def test_damage(handler: str, damage: str, tmp_path: Any) -> None:
    """Handlers that go on, or raise. Where an error ends a stage, and where a cut is none, ours differs: see from-webdataset."""
    names = ["a", "b", "c"]
    for name in names:
        (tmp_path / f"{name}.tar").write_bytes(make_shard([{"__key__": f"{name}{n}", "txt": bytes(600)} for n in range(3)]))
    broken = tmp_path / "b.tar"
    match damage:
        case "garbage":
            broken.write_bytes(b"<html>" * 400)
        case "empty":
            broken.write_bytes(b"")
        case "missing":
            broken.unlink()
        case "cut in a payload":
            broken.write_bytes(broken.read_bytes()[:900])
        case "duplicate":
            broken.write_bytes(make_shard([{"__key__": "b0", "txt": "x", "TXT": "y"}, {"__key__": "b1", "txt": "x"}]))
    outcomes = []
    for module in (webdataset, asyncwds):
        seen: list[Any] = []
        stage = module.tarfile_to_samples(handler=getattr(module, handler))
        try:
            for sample in stage([{"url": f"{tmp_path}/{name}.tar"} for name in names]):
                seen.append((sample["__key__"], sample["txt"]))
        except (ValueError, OSError, TarError, webdataset.tariterators.tarfile.ReadError) as error:
            seen.append([kind.__name__ for kind in (ValueError, FileNotFoundError) if isinstance(error, kind)])
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]
    assert issubclass(SampleError, ValueError)


@pytest.mark.parametrize("sample", [None, {}, {"a": 1}, {"__bad__": True}, {"__bad__": False, "a": 1}, [1]])
def test_valid_samples(sample: Any) -> None:
    assert asyncwds.tariterators.valid_sample(sample) == tariterators.valid_sample(sample)


# -- opening


@pytest.mark.parametrize("url", ["{}", "file:{}", "pipe:cat {}", "pipe:head -c 4 {} | tail -c 2"])
def test_gopen(url: str, tmp_path: Any) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    outcomes = []
    for module in (webdataset, asyncwds):
        with module.gopen(url.format(tmp_path / "x")) as stream:
            outcomes.append((stream.read(1), stream.read()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("url", ["nobody://x", "nobody:x"])
def test_gopen_of_schemes_that_nobody_knows(url: str) -> None:
    for module in (webdataset, asyncwds):
        with pytest.raises(ValueError, match="no gopen handler"):
            module.gopen(url)


@pytest.mark.parametrize("url", ["s3://bucket/x", "http://old/x", "other://x", "gs://a/s3://bucket"])
@pytest.mark.parametrize("rules", ["s3://=http://gw/;http://old=http://new", "http://(.*)/=https://\\1.host/", "x=y"])
def test_rewriting(url: str, rules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPEN_REWRITE", rules)
    assert rewritten(url) == rewrite_url(url)


def test_a_function_for_a_scheme_is_called_alike() -> None:
    calls: list[Any] = []

    def opened(*args: Any, **options: Any) -> Any:
        calls.append((args, options))
        return io.BytesIO(ARCHIVES["plain"])

    for module in (webdataset, asyncwds):
        module.gopen_schemes["mine"] = opened
        try:
            module.gopen("mine://x", option=1).close()
            module.gopen("mine://x", "wb").close()
            assert len(list(module.tarfile_samples([{"url": "mine://x"}]))) == len(SAMPLES)
        finally:
            del module.gopen_schemes["mine"]
    assert calls[:3] == calls[3:]


# -- a torch dataset to begin with, as in open_clip


@pytest.mark.needs("torch")
@pytest.mark.parametrize("seed", [1, 5])
def test_a_dataset_of_ones_own_to_begin_with(seed: int, tmp_path: Any) -> None:
    (tmp_path / "a.tar").write_bytes(ARCHIVES["plain"])

    class Resampled(IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Any:
            rng = random.Random(seed)
            for _ in range(5):
                yield {"url": f"{tmp_path}/{rng.choice('aaa')}.tar"}

    outcomes = []
    for module in (webdataset, asyncwds):
        pipeline = module.DataPipeline(
            Resampled(), module.split_by_worker, module.tarfile_to_samples(), module.shuffle(7, seed=seed), module.to_tuple("txt")
        )
        outcomes.append(list(islice(pipeline, 20)))
    assert outcomes[0] == outcomes[1]
