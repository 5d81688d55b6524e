"""`split="samples"`: each rank and worker has as many samples, wherever their numbers come from, and goes on from states."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncwds as wds
from asyncwds.errors import SpecError, StaleIndexError
from asyncwds.index import Index, ShardIndex
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import FaultServer, make_shard

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12+ warns of forking with threads

COUNTS = [7, 0, 12, 1, 3, 30]
TOTAL = sum(COUNTS)
ALL = [f"{shard}-{n}" for shard, count in enumerate(COUNTS) for n in range(count)]
PLACES = [(1, 1), (4, 2), (7, 3)]

Make = Callable[[], Any]


def shard_of(number: int, count: int, size: int = 300) -> bytes:
    return make_shard([{"__key__": f"{number}-{n}", "cls": str(n), "txt": "x" * (size * (n % 5))} for n in range(count)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shards")
    for number, count in enumerate(COUNTS):
        (path / f"s{number}.tar").write_bytes(shard_of(number, count))
        (path / f"z{number}.tar.gz").write_bytes(gzip.compress(shard_of(number, count)))
    for name in ("s{0..5}.tar", "z{0..5}.tar.gz"):
        index = wds.make_index(f"{path}/{name}")
        wds.save_index(index, path / f"{name[0]}.wdsindex")
    wds.save_index(wds.load_index(path / "s.wdsindex"), f"{path}/sizes.json", "sizes")
    return path


def at_each_place(monkeypatch: pytest.MonkeyPatch, world: int, workers: int, read: Make) -> list[Any]:
    found = []
    for place in range(world * workers):
        own = {"RANK": place // workers, "WORLD_SIZE": world, "WORKER": place % workers, "NUM_WORKERS": workers}
        for name, value in own.items():
            monkeypatch.setenv(name, str(value))
        found.append(read())
    for name in ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"):
        monkeypatch.delenv(name)
    return found


def keys(samples: Any) -> list[str]:
    return [sample["__key__"] for sample in samples]


def assert_padded(read: list[list[dict[str, Any]]]) -> None:
    """As many at each place, every sample once, and the others marked."""
    assert {len(samples) for samples in read} == {-(-TOTAL // len(read))}
    own = [sample["__key__"] for samples in read for sample in samples if not sample["__padding__"]]
    assert sorted(own) == sorted(ALL)


OPTIONS: dict[str, dict[str, Any]] = {
    "in order": {},
    "shuffled": {"shardshuffle": True},
    "interleaved": {"shardshuffle": 3, "prefetch": wds.Prefetch(interleave=3, interleave_samples=2)},
    "small parts": {"prefetch": wds.Prefetch(connections=3, part_bytes=4096)},
    "as they arrive": {"prefetch": wds.Prefetch(interleave=3, order="arrival")},
    "strict": {"strict": True},
    "fields left out": {"select_files": lambda name: name.endswith("cls")},
}


@pytest.mark.parametrize(("world", "workers"), PLACES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_place_has_as_many(folder, monkeypatch, options, world, workers):
    def read() -> Any:
        return list(
            wds.WebDataset(f"{folder}/s{{0..5}}.tar", index=folder / "s.wdsindex", split="samples", uneven="pad", seed=1, **options)
        )

    assert_padded(at_each_place(monkeypatch, world, workers, read))


def test_there_may_be_more_places_than_samples(folder, monkeypatch):
    def read() -> Any:
        return list(wds.WebDataset(f"{folder}/s{{0..5}}.tar", index=folder / "s.wdsindex", split="samples", uneven="pad"))

    assert_padded(at_each_place(monkeypatch, 8, 9, read))


SOURCES: dict[str, Callable[[Path], Any]] = {
    "index of all": lambda folder: {"urls": f"{folder}/s{{0..5}}.tar", "index": folder / "s.wdsindex"},
    "counts alone": lambda folder: {"urls": f"{folder}/s{{0..5}}.tar", "index": folder / "sizes.json"},
    "a list of counts in place of urls": lambda folder: {"urls": f"{folder}/sizes.json"},
    "compressed": lambda folder: {"urls": f"{folder}/z{{0..5}}.tar.gz", "index": folder / "z.wdsindex"},
    "a pipe": lambda folder: {"urls": f"pipe:cat {folder}/s{{0..5}}.tar", "index": piped(folder)},
    "a fetcher": lambda folder: {"urls": "mem/s{0..5}.tar", "index": folder / "s.wdsindex", "fetcher": InMemory(folder)},
}


def piped(folder: Path) -> Index:
    shards = wds.load_index(folder / "s.wdsindex").shards
    return Index(tuple([ShardIndex(f"pipe:cat {shard.url}", shard.samples, packed=shard.packed) for shard in shards]))


class InMemory:
    def __init__(self, folder: Path) -> None:
        self.shards = {f"mem/{path.name}": path.read_bytes() for path in folder.glob("s?.tar")}

    def __call__(self) -> MemoryFetcher:
        return MemoryFetcher(self.shards)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_wherever_the_numbers_come_from(folder, monkeypatch, source):
    def read() -> Any:
        return list(wds.WebDataset(**source(folder), split="samples", uneven="pad", shardshuffle=True, seed=1))

    assert_padded(at_each_place(monkeypatch, 4, 2, read))


def test_what_an_epoch_or_a_command_left_is_found(tmp_path, monkeypatch):
    for number, count in enumerate(COUNTS):
        (tmp_path / f"s{number}.tar").write_bytes(shard_of(number, count))
    urls = f"{tmp_path}/s{{0..5}}.tar"
    with pytest.raises(SpecError, match=r"(?s)of 6 of 6 shards it is not known.*asyncwds index.*keep_index=True.*s0\.tar"):
        wds.WebDataset(urls, split="samples")
    list(wds.WebDataset(urls, keep_index=True))
    read = at_each_place(monkeypatch, 4, 2, lambda: list(wds.WebDataset(urls, split="samples", uneven="pad")))
    assert_padded(read)
    (tmp_path / "s2.tar.wdsindex").unlink()
    with pytest.raises(SpecError, match=r"of 1 of 6 shards it is not known.*s2\.tar"):
        wds.WebDataset(urls, split="samples")


def test_what_a_cache_has_is_found(folder, tmp_path, monkeypatch):
    cache = {"cache_dir": tmp_path / "cache"}
    with FaultServer(folder) as server:
        urls = server.url() + "s{0..5}.tar"
        list(wds.WebDataset(urls, keep_index=True, **cache))
        options = {"split": "samples", "uneven": "pad", "seed": 1, "shardshuffle": True, **cache}
        assert_padded(at_each_place(monkeypatch, 4, 2, lambda: list(wds.WebDataset(urls, **options))))


def test_a_shard_that_places_share_is_read_by_ranges(tmp_path, monkeypatch):
    (tmp_path / "one.tar").write_bytes(data := shard_of(0, 100, 4000))
    with FaultServer(tmp_path) as server:
        index = wds.make_index(server.url("one.tar"))
        counts = Index((ShardIndex(server.url("one.tar"), 100),))

        def fetched(index: Index) -> list[int]:
            def read() -> int:
                before = server.counters.bytes_sent
                prefetch = wds.Prefetch(connections=4, part_bytes=64 * 1024)
                assert len(list(wds.WebDataset(server.url("one.tar"), index=index, split="samples", prefetch=prefetch))) == 10
                return server.counters.bytes_sent - before

            return at_each_place(monkeypatch, 5, 2, read)

        by_ranges = fetched(index)
        assert sum(by_ranges) == len(data)
        assert max(by_ranges) < len(data) / 8
        from_the_start = fetched(counts)
        assert from_the_start[-1] >= len(data)
        assert sum(from_the_start) > 4 * len(data)


def test_drop_and_error(folder, monkeypatch):
    urls = {"urls": f"{folder}/s{{0..5}}.tar", "index": folder / "s.wdsindex", "split": "samples"}
    read = at_each_place(monkeypatch, 4, 2, lambda: keys(wds.WebDataset(**urls, uneven="drop", shardshuffle=True)))
    assert {len(part) for part in read} == {TOTAL // 8}
    assert Counter(key for part in read for key in part) <= Counter(ALL)
    assert "__padding__" not in next(iter(wds.WebDataset(**urls)))
    message = f"impossible to share out {TOTAL} samples in 6 shards among 4 ranks evenly: each would get 13, and 1 would be left"
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    unequal: Any = wds.WebDataset(**urls)
    with pytest.raises(SpecError, match=message):
        list(unequal)
    with pytest.raises(SpecError, match=message):
        len(unequal)


def test_epochs_cut_elsewhere_and_can_be_had_again(folder, monkeypatch):
    options = {"index": folder / "s.wdsindex", "split": "samples", "uneven": "drop", "shardshuffle": True, "seed": 3}
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    dataset = wds.WebDataset(f"{folder}/s{{0..5}}.tar", **options)
    epochs = [keys(dataset) for _ in range(3)]
    assert len({frozenset(epoch) for epoch in epochs}) > 1
    dataset.set_epoch(1)
    assert keys(dataset) == epochs[1]
    again: Any = wds.WebDataset(f"{folder}/s{{0..5}}.tar", **options).repeat(2)
    assert keys(again)[: len(epochs[0])] == epochs[0]
    assert len(keys(again)) == 2 * len(epochs[0]) == len(again)


def test_asynchronous_loops_have_the_same(folder, monkeypatch):
    options = {"index": folder / "s.wdsindex", "split": "samples", "uneven": "pad", "shardshuffle": True, "seed": 3}

    async def read() -> list[str]:
        return [sample["__key__"] async for sample in wds.WebDataset(f"{folder}/s{{0..5}}.tar", **options)]

    ours = at_each_place(monkeypatch, 3, 2, lambda: asyncio.run(read()))
    assert ours == at_each_place(monkeypatch, 3, 2, lambda: keys(wds.WebDataset(f"{folder}/s{{0..5}}.tar", **options)))


PIPELINES: dict[str, Callable[[Any], Any]] = {
    "plain": lambda dataset: dataset,
    "shuffle": lambda dataset: dataset.shuffle(9, initial=4),
    "batches behind a shuffle": lambda dataset: dataset.shuffle(7).to_tuple("__key__", "__padding__").listed(4),
    "a function that is not marked": lambda dataset: dataset.compose(lambda samples: (dict(sample) for sample in samples)),
    "two passes": lambda dataset: dataset.shuffle(5).repeat(2),
}
READING: dict[str, dict[str, Any]] = {
    "interleaved": {"prefetch": wds.Prefetch(interleave=3, interleave_samples=2), "index": "s.wdsindex"},
    "one by one": {"index": "s.wdsindex"},
    "no places known": {"index": "sizes.json"},
    "compressed": {"urls": "z{0..5}.tar.gz", "index": "z.wdsindex"},
}


def shown(item: Any) -> Any:
    return {name: value for name, value in item.items() if name in ("__key__", "__padding__")} if isinstance(item, dict) else item


@pytest.mark.filterwarnings("ignore::asyncwds.errors.ResumeWarning")
@pytest.mark.parametrize(
    ("pipeline", "reading"),
    [*((name, "interleaved") for name in PIPELINES), *(("shuffle", name) for name in READING if name != "interleaved")],
)
def test_states_are_exact(folder, monkeypatch, pipeline, reading):
    def make() -> Any:
        options = {"urls": "s{0..5}.tar", **READING[reading], "split": "samples", "uneven": "pad", "shardshuffle": True, "seed": 2}
        options |= {name: f"{folder}/{options[name]}" for name in ("urls", "index")}
        return PIPELINES[pipeline](wds.WebDataset(**options))

    def stop_and_go() -> None:
        whole = [shown(item) for item in make()]
        for stop in range(0, len(whole) + 1, 3):
            dataset = make()
            items = iter(dataset)
            given = [shown(next(items)) for _ in range(stop)]
            state = json.loads(json.dumps(dataset.state_dict()))
            items.close()
            resumed = make()
            resumed.load_state_dict(state)
            assert given + [shown(item) for item in resumed] == whole, stop

    at_each_place(monkeypatch, 3, 1, stop_and_go)


def test_a_state_of_another_cut_is_refused(folder):
    options = {"urls": f"{folder}/s{{0..5}}.tar", "index": folder / "s.wdsindex"}
    state = wds.WebDataset(**options, split="samples", seed=1).state_dict()
    wds.WebDataset(**options, split="samples", seed=1).load_state_dict(state)
    for other in (wds.WebDataset(**options, split="samples", uneven="drop"), wds.WebDataset(**options)):
        with pytest.raises(SpecError, match="split, and numbers of samples"):
            other.load_state_dict(state)


def test_the_mark_goes_through_stages(folder, tmp_path, monkeypatch):
    options = {"index": folder / "s.wdsindex", "split": "samples", "uneven": "pad"}
    monkeypatch.setenv("RANK", "7")
    monkeypatch.setenv("WORLD_SIZE", "8")
    dataset = wds.WebDataset(f"{folder}/s{{0..5}}.tar", **options).decode().to_tuple("cls", "__padding__")
    classes, padding = next(iter(dataset.batched(100)))
    assert padding.dtype == np.bool_
    assert padding.tolist() == [False] * 4 + [True] * 3
    assert classes[padding].tolist() == [0, 1, 2]
    assert dataset[0] == (0, False)  # by number each is there once
    with wds.TarWriter(str(tmp_path / "new.tar"), keep_meta=True) as sink:
        for sample in wds.WebDataset(f"{folder}/s{{0..5}}.tar", **options):
            sink.write(sample)
    assert {name for sample in wds.WebDataset(f"{tmp_path}/new.tar", nodesplitter=None) for name in sample} >= {"cls", "txt"}


def test_lengths(folder, monkeypatch):
    urls, index = f"{folder}/s{{0..5}}.tar", folder / "s.wdsindex"

    def made(uneven: Any = "pad") -> Any:
        return wds.WebDataset(urls, index=index, split="samples", uneven=uneven)

    assert len(made()) == len(made("drop")) == TOTAL
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "0")
    assert (len(made()), len(made("drop")), made().items_per_rank(3)) == (14, 13, 15)
    pipelines = [
        made().shuffle(5).decode(),
        made().batched(4),
        made("drop").batched(4, partial=False),
        made().repeat(2).batched(4),
        made().with_epoch(9),
    ]
    for pipeline in pipelines:
        assert len(pipeline) == len(list(pipeline))
    assert made().batched(4).items_per_rank(3) == 3 * 2
    for unknown in (made().select(bool), made().batched(4).unbatched()):
        with pytest.raises(TypeError):
            len(unknown)
        with pytest.raises(TypeError, match="nobody knows"):
            unknown.items_per_rank(2)


def test_the_processes_of_a_loader_have_as_many(folder):
    dataset = wds.WebDataset(
        f"{folder}/s{{0..5}}.tar", index=folder / "s.wdsindex", split="samples", uneven="pad", shardshuffle=True
    )
    lists = dataset.to_tuple("__key__", "__padding__").listed(5)
    with wds.loader(lists, processes=3, start_method="fork") as loader:
        batches = list(loader)
    assert len(batches) == len(loader) == 3 * 4
    assert [len(batch) for batch in batches] == [5] * 9 + [3] * 3
    assert sorted(key for batch in batches for key, padding in batch if not padding) == sorted(ALL)


@pytest.mark.parametrize("mix", [wds.RoundRobin, lambda members: wds.RandomMix(members, [3, 1], longest=True, seed=1)])
def test_mixes_have_as_many(folder, monkeypatch, mix):
    options = {"split": "samples", "uneven": "pad", "seed": 1}

    def read() -> Any:
        members = [wds.WebDataset(f"{folder}/s{{0..5}}.tar", index=folder / "s.wdsindex", **options) for _ in range(2)]
        return list(mix(members))

    assert {len(samples) for samples in at_each_place(monkeypatch, 4, 2, read)} == {14}


def test_what_handlers_skip_is_made_up_for_by_with_epoch(folder, tmp_path, monkeypatch):
    for number, count in enumerate(COUNTS):
        data = shard_of(number, count)
        (tmp_path / f"s{number}.tar").write_bytes(data if number != 5 else data[:5000] + b"damaged" * 100 + data[5700:])
    options = {"index": folder / "s.wdsindex", "split": "samples", "uneven": "pad", "handler": wds.ignore_and_continue}

    def read(full: bool) -> int:
        dataset = wds.WebDataset(f"{tmp_path}/s{{0..5}}.tar", **options)
        return len(list(dataset.with_epoch(14) if full else dataset))

    assert set(at_each_place(monkeypatch, 4, 1, lambda: read(full=True))) == {14}
    assert len(set(at_each_place(monkeypatch, 4, 1, lambda: read(full=False)))) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "batches"}, "split must be 'shards' or 'samples', not"),
        ({"split": "samples", "uneven": "cut"}, "uneven must be None or 'drop' or"),
        ({"uneven": "pad"}, "uneven is for split='samples'"),
        ({"split": "samples", "resampled": True}, "read once in an epoch"),
        ({"split": "samples", "nodesplitter": None}, "nodesplitter and workersplitter are to be left out"),
        ({"split": "samples", "workersplitter": lambda shards: shards}, "are to be left out"),
        ({"split": "samples", "fetcher": lambda: MemoryFetcher({})}, "needs an index or a manifest"),
    ],
)
def test_mistakes(folder, arguments, message):
    with pytest.raises(SpecError, match=message):
        wds.WebDataset(f"{folder}/s{{0..5}}.tar", **arguments)


def test_splitters_of_the_usual_kind_are_of_no_effect(folder, monkeypatch):
    def read() -> Any:
        usual = {"nodesplitter": wds.split_by_node, "workersplitter": wds.split_by_worker}
        options = {"split": "samples", "uneven": "pad", "index": folder / "s.wdsindex"}
        return list(wds.WebDataset(f"{folder}/s{{0..5}}.tar", **usual, **options))

    assert_padded(at_each_place(monkeypatch, 4, 2, read))


def test_its_repr_says_so(folder):
    dataset = wds.WebDataset(f"{folder}/s{{0..5}}.tar", index=folder / "s.wdsindex", split="samples", uneven="drop")
    assert "split='samples', uneven='drop'" in repr(dataset)


REPLACED: dict[str, tuple[int, bool, str]] = {
    "fewer, by counts": (25, False, r"(30|at least 2\d) samples then, no more than 25 samples now"),
    "more, by counts": (35, False, r"30 samples then, at least 3\d samples now"),
    "another size": (25, True, r"\d+ bytes then, \d+ bytes now"),
}


@pytest.mark.parametrize(("count", "by_places", "message"), REPLACED.values(), ids=REPLACED)
@pytest.mark.parametrize("world", [1, 3, 8])
def test_shards_that_are_not_what_was_counted(folder, tmp_path, monkeypatch, count, by_places, message, world):
    for number, samples in enumerate(COUNTS):
        (tmp_path / f"s{number}.tar").write_bytes(shard_of(number, count if number == 5 else samples))
    index = wds.load_index(folder / ("s.wdsindex" if by_places else "sizes.json"))

    def read() -> str | None:
        try:
            list(wds.WebDataset(f"{tmp_path}/s{{0..5}}.tar", index=index, split="samples", uneven="pad"))
        except StaleIndexError as error:
            return error.message
        return None

    found = [message for message in at_each_place(monkeypatch, world, 1, read) if message]
    assert found
    assert all(re.search(message, text) for text in found)


def test_one_of_another_etag(tmp_path, monkeypatch):
    (tmp_path / "one.tar").write_bytes(shard_of(0, 20))
    with FaultServer(tmp_path) as server:
        index = wds.make_index(server.url("one.tar"))
        (tmp_path / "one.tar").write_bytes(shard_of(1, 20))

        def read() -> Any:
            with pytest.raises(StaleIndexError, match="ETag"):
                list(wds.WebDataset(server.url("one.tar"), index=index, split="samples"))
            return True

        assert all(at_each_place(monkeypatch, 2, 2, read))


def test_other_numbers_of_ranks_are_refused(folder):
    def make() -> Any:
        return wds.WebDataset(f"{folder}/s{{0..5}}.tar", index=folder / "s.wdsindex", split="samples")

    dataset = make()
    items = iter(dataset)
    next(items)
    merged = wds.merge_state_dicts([dataset.state_dict()])
    items.close()
    with pytest.raises(SpecError, match="at their number only"):
        make().load_state_dict(merged)


@pytest.mark.parametrize("uneven", ["drop", "pad"])
def test_lanes_have_as_many_and_can_be_gone_on_with_by_others(folder, monkeypatch, uneven):
    def make() -> Any:
        options = {"split": "samples", "uneven": uneven, "shardshuffle": True, "seed": 2}
        dataset = wds.WebDataset(f"{folder}/s{{0..5}}.tar", index=folder / "s.wdsindex", **options)
        return dataset.shuffle(5).map(lambda sample: (sample["__key__"], sample.get("__padding__"))).lanes(6)

    def steps(world: int, found: list[list[Any]]) -> list[Any]:
        return [sorted(chain.from_iterable(items)) for items in zip(*[batched(items, 6 // world) for items in found], strict=True)]

    read = {world: at_each_place(monkeypatch, world, 1, lambda: list(make())) for world in (1, 2, 3)}
    assert steps(1, read[1]) == steps(2, read[2]) == steps(3, read[3])
    own = [key for key, padding in read[1][0] if not padding]
    assert len(own) == len(set(own)) == (TOTAL if uneven == "pad" else TOTAL // 6 * 6)

    def begun() -> Any:
        dataset = make()
        items = iter(dataset)
        given = [next(items) for _ in range(9)]
        state = dataset.state_dict()
        items.close()
        return given, state

    def rest() -> Any:
        dataset = make()
        dataset.load_state_dict(merged)
        return list(dataset)

    before = at_each_place(monkeypatch, 2, 1, begun)
    merged = wds.merge_state_dicts([state for _, state in before])
    after = at_each_place(monkeypatch, 3, 1, rest)
    assert {len(items) for items in after} == {(len(read[1][0]) - 18) // 3}
    assert sorted(chain.from_iterable([given for given, _ in before] + after)) == sorted(read[1][0])


def batched(items: list[Any], size: int) -> list[list[Any]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]
