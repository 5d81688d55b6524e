"""Datasets, pipelines and lists of shards."""

import io
import itertools
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.compat.cases.registry import Case, add


def shard(path: Path, files: list[tuple[str, bytes]]) -> str:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return str(path)


def data_set(folder: Path) -> str:
    for number in range(6):
        files = []
        for i in range(number * 4, number * 4 + 4):
            files += [(f"k{i:03}.cls", str(i).encode()), (f"k{i:03}.txt", f"text {i}".encode())]
        shard(folder / f"s-{number}.tar", files)
    return str(folder / "s-{0..5}.tar")


def one_shard(folder: Path) -> str:
    return data_set(folder).replace("{0..5}", "0")


def dataset(**options: Any) -> Case:
    return lambda wds, folder: wds.WebDataset(data_set(folder), **{"shardshuffle": False, **options})


def fluid(build: Callable[[Any, Any], Any], **options: Any) -> Case:
    return lambda wds, folder: build(wds, wds.WebDataset(data_set(folder), **{"shardshuffle": False, **options}))


add("WebDataset", dataset())
for seed, size in itertools.product((0, 1, 2, 99), (2, 4, 100, True)):
    add(f"WebDataset shardshuffle={size} seed={seed}", dataset(shardshuffle=size, seed=seed))
add("WebDataset select_files", dataset(select_files=lambda name: name.endswith("cls")))
add("WebDataset rename_files", dataset(rename_files=lambda name: name.replace("txt", "text")))
add("WebDataset select and rename", dataset(rename_files=str.upper, select_files=lambda name: name.endswith("CLS")))
add("WebDataset detshuffle", dataset(shardshuffle=4, detshuffle=True, seed=3))
add("WebDataset of a list", lambda wds, folder: wds.WebDataset([data_set(folder).replace("{0..5}", "2")], shardshuffle=False))
add("WebDataset of two", lambda wds, f: wds.WebDataset(data_set(f) + "::" + data_set(f).replace("{0..5}", "1"), shardshuffle=False))
add("WebDataset of nothing", lambda wds, _: wds.WebDataset([], shardshuffle=False))
add("WebDataset of what is not there", lambda wds, folder: wds.WebDataset(str(folder / "no.tar"), shardshuffle=False))
add(
    "WebDataset by file:",
    lambda wds, folder: [dict(s, __url__=0) for s in wds.WebDataset(f"file:{data_set(folder)}", shardshuffle=False)],
)
add("WebDataset by pipe:", lambda wds, folder: wds.WebDataset(f"pipe:cat {data_set(folder)}", shardshuffle=False))


def twice(items: Iterable[Any]) -> list[Any]:
    return [*items, *items]


FLUID: dict[str, Callable[[Any, Any], Any]] = {
    "decode": lambda _, ds: ds.decode(),
    "to_tuple": lambda _, ds: ds.to_tuple("txt", "cls"),
    "shuffle with a seed": lambda _, ds: ds.shuffle(10, initial=5, seed=3),
    "shuffle 0": lambda _, ds: ds.shuffle(0),
    "decode, batches": lambda _, ds: ds.decode().to_tuple("cls", "txt").batched(5),
    "batches without a rest": lambda _, ds: ds.decode().to_tuple("cls", "txt").batched(5, partial=False),
    "unbatched": lambda _, ds: ds.decode().to_tuple("cls", "txt").batched(5).unbatched(),
    "listed, unlisted": lambda _, ds: ds.to_tuple("cls").listed(5).unlisted(),
    "listed": lambda _, ds: ds.to_tuple("cls").listed(5),
    "map": lambda _, ds: ds.map(lambda sample: {"n": int(sample["cls"])}),
    "map_dict": lambda _, ds: ds.map_dict(cls=int),
    "map_tuple": lambda _, ds: ds.to_tuple("cls", "txt").map_tuple(int, None),
    "rename": lambda _, ds: ds.rename(label="cls"),
    "rename_keys": lambda _, ds: ds.rename_keys(label="cls"),
    "extract_keys": lambda _, ds: ds.extract_keys("txt", "c*"),
    "xdecode": lambda _, ds: ds.xdecode(cls=lambda f: f.read()),
    "select": lambda _, ds: ds.select(lambda sample: int(sample["cls"]) % 3 == 0),
    "slice": lambda _, ds: ds.slice(5),
    "slice of a range": lambda _, ds: ds.slice(3, 20, 4),
    "repeat": lambda _, ds: ds.to_tuple("cls").repeat(2),
    "repeat, sliced": lambda _, ds: ds.to_tuple("cls").repeat(3).slice(60),
    "repeat nbatches": lambda _, ds: ds.to_tuple("cls").repeat(3, nbatches=30),
    "with_epoch shorter": lambda _, ds: ds.to_tuple("cls").with_epoch(7),
    "with_epoch longer": lambda _, ds: ds.to_tuple("cls").with_epoch(60),
    "with_epoch twice": lambda _, ds: twice(ds.to_tuple("cls").with_epoch(30)),
    "with_epoch nbatches": lambda _, ds: ds.to_tuple("cls").batched(4).with_epoch(nbatches=8),
    "with_length": lambda _, ds: [len(ds.with_length(17, silent=True))],
    "compose": lambda wds, ds: ds.compose(wds.select(lambda s: s["cls"] != b"1"), wds.to_tuple("cls")),
    "compose with a generator": lambda _, ds: ds.compose(lambda source: (sample["cls"] for sample in source)),
    "mcached": lambda _, ds: twice(ds.to_tuple("cls").mcached()),
    "a loader": lambda wds, ds: wds.WebLoader(ds.to_tuple("cls"), num_workers=0, batch_size=None),
    "a loader, batches": lambda wds, ds: wds.WebLoader(ds.decode().to_tuple("cls"), num_workers=0, batch_size=None).batched(5),
    "a loader, with_epoch": lambda wds, ds: wds.WebLoader(ds.to_tuple("cls"), num_workers=0, batch_size=None).with_epoch(31),
    "a wrapper": lambda wds, ds: wds.FluidWrapper(ds).to_tuple("cls").batched(2),
}
for name, build in FLUID.items():
    add(f"fluid: {name}", fluid(build))

PIPELINES: dict[str, Callable[[Any, str], list[Any]]] = {
    "samples": lambda wds, urls: [wds.SimpleShardList(urls), wds.tarfile_to_samples()],
    "shuffled": lambda wds, urls: [wds.SimpleShardList(urls, seed=5), wds.tarfile_to_samples(), wds.to_tuple("cls")],
    "with nothing in between": lambda wds, urls: [wds.SimpleShardList(urls), None, wds.tarfile_to_samples(), None],
    "with lists": lambda wds, urls: [wds.SimpleShardList(urls), [wds.tarfile_to_samples(), wds.slice(5)]],
    "split": lambda wds, urls: [wds.SimpleShardList(urls), wds.split_by_node, wds.split_by_worker, wds.tarfile_to_samples()],
    "shuffled shards and samples": lambda wds, urls: [
        wds.SimpleShardList(urls), wds.shuffle(10, seed=1), wds.tarfile_to_samples(), wds.shuffle(9, seed=2), wds.to_tuple("cls"),
    ],
    "stage by stage": lambda wds, urls: [
        wds.SimpleShardList(urls), wds.tariterators.url_opener, wds.tariterators.tar_file_expander, wds.tariterators.group_by_keys,
    ],
    "with detshuffle": lambda wds, urls: [wds.SimpleShardList(urls), wds.detshuffle(10, 3, seed=2), wds.tarfile_to_samples()],
    "batches": lambda wds, urls: [
        wds.SimpleShardList(urls), wds.tarfile_to_samples(), wds.decode(), wds.to_tuple("cls", "txt"), wds.batched(7),
    ],
    "of a list": lambda wds, urls: [[1], lambda source: (item + 1 for item in source)] and [lambda: iter([1, 2]), wds.slice(1)],
    "non_empty": lambda wds, urls: [wds.SimpleShardList(urls), wds.tarfile_to_samples(), wds.non_empty],
    "non_empty of nothing": lambda wds, urls: [wds.SimpleShardList(urls), wds.slice(0), wds.non_empty],
}  # fmt: skip
for name, stages in PIPELINES.items():
    add(f"DataPipeline: {name}", lambda wds, folder, stages=stages: wds.DataPipeline(*stages(wds, data_set(folder))))

for seed in (0, 1, 17, 1234):
    add(f"SimpleShardList seed={seed}", lambda wds, _, seed=seed: wds.SimpleShardList([str(i) for i in range(10)], seed=seed))
    add(
        f"ResampledShards seed={seed}",
        lambda wds, _, seed=seed: wds.ResampledShards(
            [f"{i}" for i in range(9)], 20, seed=seed, worker_seed=lambda: 7, deterministic=True
        ),
    )
for urls in (
    "a.tar",
    "a-{0..3}.tar",
    "a-{000..003}.tar::b.tar",
    "{a,b}-{1..2}.tar",
    "pipe:cat {a,b}.tar",
    "http://h/x-{8..11}.tar",
):
    add(f"expand_urls {urls}", lambda wds, _, urls=urls: wds.shardlists.expand_urls(urls))
    add(f"SimpleShardList {urls}", lambda wds, _, urls=urls: [*wds.SimpleShardList(urls), len(wds.SimpleShardList(urls))])
for source in (["a", "b"], ("a", "b", "c", "d"), dict.fromkeys("abcde").keys(), 5):
    add(f"expand_source {type(source).__name__}", lambda wds, _, source=source: wds.shardlists.expand_source(source, 3))
