"""Every argument of every public function that makes no sense is a SpecError at the call, with the value and what would do."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncwds as wds
from asyncwds.compat import cache as cache_module
from asyncwds.compat import tariterators
from asyncwds.errors import SpecError
from asyncwds.testing import make_shard


async def asynchronous(*_: Any) -> None:
    """What nobody here would await."""


NO_FLAG = ["no", "", [], b"x", {}]
NO_FUNCTION = [3, "f", [len], asynchronous]
NO_SIZE = [0, -1, 2.5, 1e20, "many", None, True, [1], float("nan"), np.float32(2), np.array([1, 2]), b"1"]
NO_COUNT = [-1, 2.5, "many", True, [1], np.float64(2), float("inf")]
NO_AMOUNT = [-1, -0.5, "many", float("nan"), [1], 1j, np.array([1.0, 2.0])]
NO_SEED = [1.5, "x", True, [1], b"x", float("nan")]
NO_TEXT = [3, b"x", ["a"], 2.5, True]
NO_PATH = [3, "", b"", [], 2.5, True]
NO_SETTINGS = [3, "x", {}, True, wds.Prefetch(), wds.Retry]

DATA = [{"__key__": "a", "cls": 1}]


def pipeline() -> wds.FluidWrapper:
    return wds.FluidWrapper(DATA)


def functions_of(call: Any, *names: str) -> list[tuple[Any, str, list[Any]]]:
    return [(call, name, NO_FUNCTION) for name in names]


def flags_of(call: Any, *names: str) -> list[tuple[Any, str, list[Any]]]:
    return [(call, name, NO_FLAG) for name in names]


def dataset(**options: Any) -> Any:
    return wds.WebDataset("a.tar", **options)


def samples(**options: Any) -> Any:
    return wds.open_samples("a.tar", **options)


def to_samples(**options: Any) -> Any:
    return wds.tarfile_to_samples(**options)


def shards(**options: Any) -> Any:
    return wds.ResampledShards("a.tar", **options)


def folder(**options: Any) -> Any:
    return wds.DirectoryShardList(Path(__file__).parent, **options)


def writer(**options: Any) -> Any:
    return wds.ShardWriter("a-%d.tar", **options)


def tar_writer(**options: Any) -> Any:
    return wds.TarWriter("a.tar", **options)


def mix(**options: Any) -> Any:
    return wds.RandomMix([DATA, DATA], **options)


def database(**options: Any) -> Any:
    return wds.LMDBCached("folder", **options)


def opened(**options: Any) -> Any:
    return wds.gopen("pipe:touch made", **options)


def command(**options: Any) -> Any:
    return wds.Pipe(["touch", "made"], **{"mode": "rb", **options})


def mapped(**options: Any) -> Any:
    return wds.map(len, **options)


def cache(**options: Any) -> Any:
    return wds.Cache("folder", **options)


SETTINGS = [(call, name, NO_SETTINGS) for call in (dataset, samples, to_samples) for name in ("retry", "http", "cache")]
SETTINGS += [(call, "prefetch", ["many", 0, -1, 2.5, True, [1], {}, wds.Retry()]) for call in (dataset, samples, to_samples)]
SETTINGS += [(call, "storage", [3, "x", {}, {"s3://": 3}, wds.S3]) for call in (dataset, samples, tar_writer, writer)]
SETTINGS += [(call, name, NO_SETTINGS) for call in (tar_writer, writer) for name in ("retry", "http")]

STAGES: list[tuple[Any, str, list[Any]]] = [
    (wds.shuffle, "bufsize", NO_AMOUNT),
    (wds.shuffle, "initial", NO_AMOUNT),
    (wds.shuffle, "seed", NO_SEED),
    (wds.shuffle, "rng", [3, "x"]),
    (pipeline().shuffle, "size", NO_AMOUNT),
    (wds.detshuffle, "bufsize", NO_AMOUNT),
    (wds.detshuffle, "initial", NO_AMOUNT),
    (wds.detshuffle, "seed", [*NO_SEED, None]),
    (wds.detshuffle, "epoch", NO_SEED),
    (wds.rsample, "p", [-0.1, 1.1, "x", None, float("nan"), True]),
    (wds.rsample, "seed", NO_SEED),
    (wds.resampled, "n", NO_SIZE),
    (wds.resampled, "seed", NO_SEED),
    (wds.batched, "batchsize", NO_SIZE),
    (pipeline().batched, "batchsize", NO_SIZE),
    (wds.listed, "batchsize", NO_SIZE),
    (pipeline().listed, "batchsize", NO_SIZE),
    (wds.info, "fmt", NO_TEXT),
    (wds.info, "name", NO_TEXT),
    (wds.info, "n", ["x", 2.5, None]),
    (wds.info, "every", ["x", 2.5, None]),
    (wds.info, "width", [-1, "x", 2.5]),
    (wds.info, "stream", ["x", 3]),
    (wds.log_keys, "logfile", [3, 2.5, [1]]),
    (wds.decode, "max_unpacked", [-1, 0, "x", None]),
    (partial(wds.decode, "rgb8"), "min_size", [-1, 0, "x", 1.5]),
    (wds.decode, "min_size", [256]),
    (wds.decode_crop, "size", [*NO_SIZE[:7], (1, 0), (1, 2, 3), ("a", 1)]),
    (partial(wds.decode_crop, 8), "scale", [3, "x", None, (0, 1), (0.5, 2), (0.5, 0.1), (0.1,), (1, float("nan"))]),
    (partial(wds.decode_crop, 8), "ratio", [3, "x", None, (0, 1), (2, 1), (1, float("inf")), ("a", 1)]),
    (partial(wds.decode_crop, 8), "flip", [-0.1, 1.1, "x", None]),
    (partial(wds.decode_crop, 8), "spec", [*NO_TEXT, "rgb7", "raw", "rgb16", "pilraw"]),
    (partial(wds.decode_crop, 8), "handler", NO_FUNCTION),
    (partial(wds.decode_crop, 8), "only", [3, [3]]),
    (partial(wds.decode_crop, 8), "min_size", [8]),
    (partial(wds.decode_crop, 8), "workers", [0, -1, "x", 1.5]),
    (partial(wds.decode_crop, 8), "resampler", [*NO_TEXT, "cubic"]),
    (partial(wds.center_crop, 8), "resampler", [*NO_TEXT, "cubic"]),
    (partial(wds.center_crop, 8), "workers", [0, -1, "x", 1.5]),
    (wds.center_crop, "size", [*NO_SIZE[:7], (1, 0), (1, 2, 3), ("a", 1)]),
    (partial(wds.center_crop, 8), "resize", [7, -1, "x", 8.5]),
    (partial(wds.center_crop, 8), "spec", [*NO_TEXT, "rgb7", "raw", "rgb16", "pilraw"]),
    (partial(wds.center_crop, 8), "handler", NO_FUNCTION),
    (partial(wds.imagehandler, "rgb8"), "min_size", [-1, 0, "x", 1.5]),
    (partial(wds.decode_image, b""), "imagespec", [*NO_TEXT, "rgb7"]),
    (partial(wds.decode_image, imagespec="rgb8"), "data", [3, "x", None, bytearray(b"x")]),
    (partial(wds.decode_image, b"", "rgb8"), "min_size", [-1, 0, "x", 1.5]),
    (partial(wds.decode_image, b"", "rgb8"), "out", [3, "x", [1]]),
    (wds.decode, "only", [3, [3], b"x"]),
    (wds.decode, "decoders", [3, "x", {"txt": 3}, {"txt": asynchronous}, {3: len}]),
    *[(call, "handler", NO_FUNCTION) for call in (wds.shuffle, wds.batched, wds.unbatched, wds.info, wds.decode, mapped)],
    *[(call, "handler", NO_FUNCTION) for call in (dataset, samples, to_samples)],
    *functions_of(wds.map, "f"),
    *functions_of(wds.select, "predicate"),
    *functions_of(wds.map_dict, "cls"),
    *functions_of(wds.batched, "collation_fn"),
    *functions_of(wds.xdecode, "cls", "handler"),
    *flags_of(wds.batched, "partial", "tensors"),
    *flags_of(wds.decode, "partial"),
    *flags_of(wds.rename_keys, "keep_unselected", "must_match", "duplicate_is_error"),
    *flags_of(wds.extract_keys, "duplicate_is_error", "ignore_missing"),
    (wds.rename, "label", [3, "", None, b"x", ["a", 3], []]),
    (wds.rename_keys, "label", [3, None, b"x", ["a"]]),
    (wds.associate, "associator", [3, "x", None, asynchronous]),
    (wds.collate, "ragged", ["x", 3, None, {"a": "x"}]),
    (database, "chunksize", NO_SIZE),
    (database, "map_size", [*NO_AMOUNT, 0]),
    (database, "pickler", [3, "pickle"]),
    (wds.LMDBCached, "fname", NO_PATH),
]

PIPELINES: list[tuple[Any, str, list[Any]]] = [
    (pipeline().with_epoch, "nsamples", [0, -2, 2.5, "x", True, [1], float("inf")]),
    (pipeline().with_epoch, "nbatches", [0, -2, 2.5, "x", True, [1]]),
    (pipeline().repeat, "nepochs", [0, -2, 2.5, "x", True, [1]]),
    (pipeline().repeat, "nbatches", [0, -2, 2.5, "x", True, [1]]),
    (pipeline().with_length, "n", [*NO_COUNT, None]),
    (pipeline().set_epoch, "epoch", [2.5, "x", None, True]),
    (wds.DataPipeline, "seed", NO_SEED),
    (lambda length: wds.with_epoch(DATA, length), "length", NO_SIZE),
    (lambda length: wds.with_length(DATA, length), "length", NO_COUNT),
    (lambda length: wds.MockDataset(DATA[0], length), "length", NO_COUNT),
    (lambda nepochs: wds.repeatedly(DATA, nepochs), "nepochs", NO_COUNT),
    (lambda nbatches: wds.repeatedly(DATA, nbatches=nbatches), "nbatches", NO_COUNT),
    (lambda nsamples: wds.repeatedly(DATA, nsamples=nsamples), "nsamples", NO_COUNT),
    (lambda workers: wds.MultiLoader(DATA, workers), "workers", NO_SIZE),
    (lambda context: wds.MultiLoader(DATA, context=context), "context", ["x", 3]),
    (wds.MultiLoader, "dataset", [3, None]),
    (mix, "probs", [[1], [1, 2, 3], [0, 0], [-1, 2], ["x", 1], [float("nan"), 1], [None, 1], 3]),
    (mix, "seed", NO_SEED),
    *flags_of(mix, "longest"),
    (wds.RandomMix, "datasets", [3, [], [3], None]),
    (wds.RoundRobin, "datasets", [3, [], [3], None]),
]

SOURCES: list[tuple[Any, str, list[Any]]] = [
    (wds.WebDataset, "urls", [3, None, [], [3], "", b"x", {"a", "b"}, "a{.tar", "no-such-*.tar", ["a.tar", ""]]),
    (wds.open_samples, "urls", [3, None, [], [3], "", b"x", {"a", "b"}, "a{.tar", "no-such-*.tar"]),
    (dataset, "mode", ["x", 3, ["keep"]]),
    (dataset, "repeat", [-2, 2.5, "x", [1]]),
    (dataset, "shardshuffle", ["x", -1, [1], float("nan"), float("inf")]),
    (dataset, "cache_size", ["x", None, float("nan"), [1]]),
    (dataset, "cache_dir", [3, b"x", [1]]),
    (dataset, "seed", NO_SEED),
    *functions_of(dataset, "select_files", "rename_files", "nodesplitter", "workersplitter", "url_to_name", "fetcher"),
    *flags_of(dataset, "resampled", "empty_check", "verbose", "verify", "strict", "keep_index"),
    (dataset, "index", [3, "", 2.5, b"x", [3]]),
    (wds.load_index, "urls", [3, "", 2.5, None, b"x", [3]]),
    *functions_of(partial(wds.make_index, "a.tar"), "made"),
    (partial(wds.save_index, wds.Index(())), "format", ["x", 3, None]),
    (partial(wds.save_index, wds.Index(())), "url", NO_PATH),
    (wds.save_index, "index", [3, "x", None]),
    (samples, "shardshuffle", [*NO_COUNT, None]),
    (samples, "seed", [*NO_SEED, None]),
    (samples, "epoch", [*NO_SEED, None]),
    (samples, "place", [3, (0, 1), wds.WorkerInfo]),
    *functions_of(samples, "select_files", "rename_files", "fetcher"),
    *flags_of(samples, "verify", "strict"),
    *functions_of(to_samples, "select_files", "rename_files", "fetcher"),
    (lambda seed: wds.SimpleShardList("a.tar", seed), "seed", [1.5, "x", [1]]),
    (shards, "nshards", NO_SIZE),
    (shards, "seed", [*NO_SEED, None]),
    (shards, "worker_seed", NO_FUNCTION),
    (shards, "max_urls", [0, -1, "x", None]),
    *flags_of(shards, "deterministic"),
    (folder, "mode", ["x", 3, None]),
    (folder, "select", ["x", 3, None]),
    (folder, "pattern", NO_TEXT),
    (folder, "poll", NO_AMOUNT),
    (folder, "timeout", [*NO_AMOUNT, None]),
    (wds.DirectoryShardList, "path", [3, "", "no/such/folder"]),
    (wds.MultiShardSample, "fname", [{}, {"datasets": []}, {"datasets": [{"shards": "a"}], "x": 1}, "missing.yaml"]),
]

FILES: list[tuple[Any, str, list[Any]]] = [
    (wds.gopen, "url", [3, None, b"x", ["a"]]),
    (opened, "mode", ["r", "x", None, 3, ["rb"]]),
    (opened, "bufsize", [-2, 2.5, "x", None, True]),
    *[
        (partial(wds.gopen, f"http://localhost/{mode}", mode), name, NO_SETTINGS)
        for mode in ("rb", "wb")
        for name in ("retry", "http")
    ],
    (command, "mode", ["x", 3, None, ["rb"], b"rb"]),
    (command, "timeout", [*NO_AMOUNT]),
    (command, "ignore_status", [3, None, [1.5], ["x"]]),
    *flags_of(command, "ignore_errors"),
    *flags_of(wds.Command, "check"),
    (wds.LRUCleanup, "cache_dir", NO_PATH),
    (wds.LRUCleanup, "cache_size", [*NO_AMOUNT, None]),
    (wds.LRUCleanup, "interval", NO_AMOUNT),
    *functions_of(wds.LRUCleanup, "keyfn"),
    *flags_of(wds.LRUCleanup, "verbose"),
    (cache_module.FileCache, "cache_dir", NO_PATH),
    (cache_module.FileCache, "cache_size", ["x", None, float("nan"), [1]]),
    (cache_module.FileCache, "cache_cleanup_interval", NO_AMOUNT),
    *functions_of(cache_module.FileCache, "url_to_name", "validator", "handler"),
    *flags_of(cache_module.FileCache, "verbose"),
    *functions_of(cache_module.StreamingOpen, "handler"),
    (partial(cache_module.download, "a.tar", "b.tar"), "chunk_size", NO_SIZE),
    (partial(cache_module.download, "a.tar"), "dest", [*NO_PATH, None]),
    *functions_of(partial(wds.url_opener, []), "handler"),
    *functions_of(partial(wds.tar_file_expander, []), "handler", "select_files", "rename_files"),
    *functions_of(partial(tariterators.tar_file_iterator, None), "handler", "select_files", "rename_files"),
    *functions_of(partial(wds.group_by_keys, []), "handler", "keys"),
    *flags_of(partial(wds.group_by_keys, []), "lcase"),
    (partial(wds.group_by_keys, []), "suffixes", [3, len]),
]

MEDIA: list[tuple[Any, str, list[Any]]] = [
    (wds.imagehandler, "imagespec", ["x", 3, None, ["rgb"]]),
    (partial(wds.imagehandler, "rgb"), "extensions", [3, [3], b"x", None]),
    (partial(wds.handle_extension, f=len), "extensions", NO_TEXT),
    *functions_of(partial(wds.handle_extension, "txt"), "f"),
    (wds.audio, "container", ["x", 3, None, ["numpy"]]),
    (wds.video, "spec", ["x", "l", 3, None, ["rgb"]]),
    *[(call, "extensions", [3, [3], b"x", None]) for call in (wds.audio, wds.video)],
    *[(call, "library", ["x", 3, None, ["auto"]]) for call in (wds.audio, wds.video)],
    *[(call, "max_bytes", NO_SIZE) for call in (wds.audio, wds.video)],
    *[(wds.video, name, [size for size in NO_SIZE if size is not None]) for name in ("frames", "stride")],
    (wds.video, "fps", [*NO_AMOUNT, 0, float("inf")]),
    (wds.video, "size", [3, "ab", (1,), (1, 2, 3), (0, 1), (1, 2.5), (None, 1)]),
    *flags_of(wds.video, "audio"),
]

WRITERS: list[tuple[Any, str, list[Any]]] = [
    (wds.ShardWriter, "pattern", ["a.tar", "%d-%d.tar", "", 3, None]),
    (writer, "maxcount", [0, -1, "x", None, float("nan"), [1]]),
    (writer, "maxsize", [0, -1, "x", None, float("nan"), [1]]),
    (writer, "start_shard", [-1, 2.5, "x", None]),
    (writer, "verbose", ["x", 2.5]),
    (writer, "manifest", [3, "", b"x"]),
    *functions_of(writer, "post", "opener"),
    *[(call, name, NO_TEXT) for call in (writer, tar_writer) for name in ("user", "group")],
    *[(call, "mode", [-1, "x", None, 2.5, 0o10000]) for call in (writer, tar_writer)],
    *[(call, "mtime", ["x", float("nan"), [1]]) for call in (writer, tar_writer)],
    *[(call, "compress", ["x", 3, [1]]) for call in (writer, tar_writer)],
    *[(call, "encoder", ["x", 3, {"txt": 3}]) for call in (writer, tar_writer)],
    *[(call, "format", ["x", 7, [1]]) for call in (writer, tar_writer)],
    *[row for call in (writer, tar_writer) for row in flags_of(call, "keep_meta", "check_names")],
]

CLASSES: list[tuple[Any, str, list[Any]]] = [
    (wds.Prefetch, "connections", NO_SIZE),
    (wds.Prefetch, "part_bytes", NO_SIZE),
    *[(wds.Prefetch, name, NO_SIZE) for name in ("buffer_bytes", "interleave", "interleave_samples")],
    *[(wds.Prefetch, name, [*NO_COUNT, None]) for name in ("max_member_bytes", "max_header_bytes")],
    (wds.Prefetch, "order", ["x", 3, None, ["plan"]]),
    *flags_of(wds.Prefetch, "uvloop"),
    (wds.Retry, "tries", [0, -1, 2.5, "x", True]),
    *[(wds.Retry, name, [*NO_AMOUNT, None]) for name in ("backoff", "backoff_max", "retry_after_max", "patience")],
    *[(wds.Retry, name, [*NO_AMOUNT, None, 0]) for name in ("connect_timeout", "stall_timeout")],
    (wds.Retry, "stall_bytes", [*NO_COUNT, None]),
    (wds.Retry, "hedge", [0, 1, 1.5, -1, "x", [1]]),
    (wds.Retry, "hedge_extra", [-0.1, 1.5, "x", None]),
    (wds.Http, "headers", [3, "x", {"https://h/": "x"}, None]),
    (wds.Http, "proxy", NO_TEXT),
    (wds.Http, "ca_file", NO_PATH),
    (wds.Http, "client_cert", ["x", ("a",), ("a", 3), 3]),
    (wds.Http, "connections_per_host", [0, -1, 2.5, "x"]),
    (wds.Http, "requests_per_second", [0, -1, "x", float("nan")]),
    *flags_of(wds.Http, "trust_env", "verify"),
    (wds.Cache, "dir", [*NO_PATH, None]),
    (cache, "size", [0, -1, "x", float("nan")]),
    *functions_of(cache, "url_to_name"),
    *flags_of(cache, "revalidate", "checksums", "verbose", "local"),
    *[(kind, "endpoint", NO_TEXT) for kind in (wds.S3, wds.GCS, wds.Azure, wds.HuggingFace, wds.AIStore)],
    *[row for kind in (wds.S3, wds.GCS, wds.Azure, wds.HuggingFace) for row in flags_of(kind, "anonymous")],
    *[(kind, "get_token", NO_FUNCTION) for kind in (wds.GCS, wds.Azure, wds.HuggingFace, wds.AIStore)],
    *[(kind, "token", NO_TEXT) for kind in (wds.HuggingFace, wds.AIStore)],
    (wds.S3, "get_keys", NO_FUNCTION),
    *[(wds.S3, name, NO_TEXT) for name in ("region", "profile", "access_key", "secret_key", "session_token")],
    (wds.S3, "addressing", ["x", 3, None]),
    *[(kind, "part_bytes", NO_SIZE) for kind in (wds.S3, wds.GCS, wds.Azure, wds.AIStore)],
    *flags_of(wds.S3, "requester_pays"),
    *flags_of(wds.AIStore, "verify"),
    (wds.GCS, "credentials_file", NO_PATH),
    (wds.GCS, "user_project", NO_TEXT),
    *[(wds.Azure, name, NO_TEXT) for name in ("account", "connection_string", "account_key", "sas_token")],
    (wds.FileSystem, "options", [3, "x", None]),
    (wds.FileSystem, "threads", NO_SIZE),
]

TABLE = [*STAGES, *PIPELINES, *SOURCES, *FILES, *MEDIA, *WRITERS, *CLASSES, *SETTINGS]


@pytest.mark.parametrize(
    ("call", "name", "values"), TABLE, ids=[f"{getattr(getattr(c, 'func', c), '__name__', c)}-{n}" for c, n, _ in TABLE]
)
def test_an_argument_that_makes_no_sense(call: Any, name: str, values: list[Any], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    default = next((p.default for p in inspect.signature(call).parameters.values() if p.name == name), inspect.Parameter.empty)
    taken = [value for value in values if value is not default or value is not None]
    for value in taken:
        with pytest.raises(SpecError) as caught:
            call(**{name: value})
        assert str(caught.value)
    assert taken
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (wds.map_tuple, (3,)),
        (wds.map_tuple, (None, asynchronous)),
        (wds.map_dict, ()),
        (wds.to_tuple, ()),
        (wds.to_tuple, (3,)),
        (wds.to_tuple, (["a", 3],)),
        (wds.extract_keys, (3,)),
        (wds.rename_keys, (("a",),)),
        (wds.rename_keys, (("a", 3),)),
        (wds.rename_keys, (3,)),
        (wds.xdecode, (("*.jpg", 3),)),
        (wds.xdecode, (3,)),
        (lambda: wds.Pipe(mode="rb"), ()),
        (wds.slice, ()),
        (wds.slice, ("x",)),
        (wds.slice, (-1,)),
        (wds.slice, (2.5,)),
        (wds.slice, (0, 10, 0)),
        (wds.slice, (1, 2, 3, 4)),
        (wds.decode, ("nosuchspec",)),
        (wds.decode, (3,)),
        (wds.DataPipeline, (3,)),
        (wds.DataPipeline, (DATA[0], 3)),
        (pipeline().compose, (3,)),
        (pipeline().compose, ("shuffle",)),
        (pipeline().append, (3,)),
    ],
)
def test_arguments_by_position(call: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(SpecError):
        call(*arguments)


def test_the_message_has_the_argument_the_value_and_what_would_do() -> None:
    for call, message in {
        lambda: wds.batched(2.5): "batchsize must be a whole number of at least 1, not 2.5",
        lambda: wds.Prefetch(order="fast"): "Prefetch: order must be 'plan' or 'arrival', not fast|'fast'",
        lambda: pipeline().with_epoch(0): r"with_epoch: nsamples \(-1 is without end\) must be a whole number of at least 1, not 0",
        lambda: pipeline().map(None): "map: f must be a function, not None",
        lambda: dataset(retry=3): r"retry must be Retry\(\.\.\.\) or None, not 3",
        lambda: wds.rsample(2): "rsample: p must be a number between 0 and 1, not 2",
    }.items():
        with pytest.raises(SpecError, match=message):
            call()


@pytest.mark.needs("torch")
def test_a_loader_s_arguments_are_torch_s() -> None:
    for options in ({"num_workers": -1}, {"nosuch": 1}, {"batch_size": 0}):
        with pytest.raises(SpecError, match="WebLoader, whose arguments are torch's DataLoader's"):
            wds.WebLoader(pipeline(), **options)


# -- what makes sense


def test_numpy_s_integers_are_integers(tmp_path: Path) -> None:
    one, two, three = np.int64(1), np.int32(2), np.uint8(3)
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": f"k{n}", "txt": "x"} for n in range(6)]))
    prefetch = wds.Prefetch(connections=two, buffer_bytes=np.int64(1 << 20), interleave=one)
    ours = wds.WebDataset(tmp_path / "a.tar", seed=three, shardshuffle=two, prefetch=prefetch, repeat=one)
    assert len(list(ours.shuffle(three, initial=two, seed=one).batched(two).with_epoch(three))) == 3
    plain = wds.WebDataset(tmp_path / "a.tar", seed=3, shardshuffle=2)
    assert [s["__key__"] for s in ours.shuffle(100)] == [s["__key__"] for s in plain.shuffle(100)]
    assert len(ours.with_length(two)) == 2
    assert [*wds.slice(one, three)(iter("abcd"))] == ["b", "c"]
    assert wds.Retry(tries=two) == wds.Retry(tries=2)
    with wds.ShardWriter(f"{tmp_path}/b-%d.tar", maxcount=two, maxsize=np.float32(1e6), start_shard=one) as sink:
        sink.write({"__key__": "a", "txt": "x"})
    assert (tmp_path / "b-1.tar").exists()


def test_what_webdataset_gives_a_meaning_keeps_it(tmp_path: Path) -> None:
    data = pipeline()
    assert list(data.shuffle(0)) == list(data.shuffle(False)) == list(data.shuffle(1e3)) == DATA
    assert len(list(wds.FluidWrapper(DATA * 3).repeat(2, nbatches=-1))) == 6
    for endless in (pipeline().repeat(), pipeline().repeat(None), pipeline().repeat(-1, -1), pipeline().with_epoch(-1)):
        iterator = iter(endless)
        assert len([next(iterator) for _ in range(5)]) == 5
        iterator.close()
    for splitter in (None, False):
        wds.WebDataset("a.tar", nodesplitter=None, workersplitter=splitter, shardshuffle=None)
    wds.ShardWriter(f"{tmp_path}/%d.tar", maxcount=1e5, maxsize=float("inf"), verbose=True).close()
