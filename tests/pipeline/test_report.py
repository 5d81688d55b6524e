"""What became of each sample of an epoch: reports add up, over stages, stops, states, workers and ranks."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import IncompleteEpochError
from asyncwds.shards import ShardRecord
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import FaultProfile, FaultServer, make_shard

SHARDS, SAMPLES = 4, 10
EPOCH = SHARDS * SAMPLES
STRICT = wds.Ledger(strict=True)


def shard(number: int, samples: int = SAMPLES) -> bytes:
    return make_shard([{"__key__": f"{number}{n}", "cls": str(n), **({"txt": "x"} if n else {})} for n in range(samples)])


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(SHARDS):
        (folder / f"s{number}.tar").write_bytes(shard(number))
    return f"{folder}/s{{0..{SHARDS - 1}}}.tar"


@pytest.fixture(scope="module")
def counted(urls: str) -> wds.Index:
    return wds.make_index(urls)


def fail_for_3(sample: Any) -> Any:
    if sample["__key__"][1] == "3":
        raise ValueError
    return sample


def without_3(sample: Any) -> Any:
    return None if sample["__key__"][1] == "3" else sample


def every_second(samples: Iterator[Any]) -> Iterator[Any]:
    yield from islice(samples, 0, None, 2)


def twice(samples: Iterator[Any]) -> Iterator[Any]:
    for sample in samples:
        yield sample
        yield sample


SKIP: dict[str, Any] = {"handler": wds.ignore_and_continue}
Build = Callable[[Any], Any]
# What a pipeline is, and of 40 samples: how many are delivered, skipped, and dropped by which stage.
CASES: dict[str, tuple[Build, int, int, dict[str, int]]] = {
    "plain": (lambda ds: ds, 40, 0, {}),
    "shuffle": (lambda ds: ds.shuffle(8), 40, 0, {}),
    "handler": (lambda ds: ds.map(fail_for_3, **SKIP).shuffle(8), 36, 4, {}),
    "parallel": (lambda ds: ds.map(fail_for_3, workers=3, **SKIP), 36, 4, {}),
    "a missing field": (lambda ds: ds.to_tuple("txt", **SKIP).shuffle(8).batched(5), 36, 4, {}),
    "select": (lambda ds: ds.select(lambda sample: sample["__key__"][1] != "3"), 36, 0, {"select": 4}),
    "select of tuples": (lambda ds: ds.to_tuple("__key__").select(lambda item: item[0][1] != "3"), 36, 0, {"select": 4}),
    "select of batches": (lambda ds: ds.listed(4).select(lambda batch: batch[0]["__key__"][1] != "4"), 32, 0, {"select": 8}),
    "map to None": (lambda ds: ds.map(without_3).listed(6), 36, 0, {"map": 4}),
    "a last batch": (lambda ds: ds.to_tuple("cls").batched(7, partial=False), 35, 0, {"batched": 5}),
    "a batch that fails": (lambda ds: ds.listed(8).map(lambda batch: str(fail_for_3(batch[3])), **SKIP), 32, 8, {}),
    "slice": (lambda ds: ds.slice(5, None, 5), 7, 0, {"slice": 33}),
    "cls": (lambda ds: ds.decode().map_dict(cls=lambda value: 1 // value, **SKIP), 36, 4, {}),
}


def is_whole(report: wds.Report) -> bool:
    counts: Any = (report.delivered, report.skipped, *report.dropped.values(), report.held, report.unread, report.unaccounted)
    return sum(counts) + sum(report.missing.values()) == report.planned


@pytest.mark.parametrize("ledger", [None, STRICT], ids=["counted", "followed"])
@pytest.mark.parametrize("name", CASES)
def test_a_whole_epoch(urls: str, counted: wds.Index, name: str, ledger: wds.Ledger | None) -> None:
    build, delivered, skipped, dropped = CASES[name]
    dataset = build(wds.WebDataset(urls, shardshuffle=True, seed=1, index=counted, ledger=ledger))
    items = list(dataset)
    report = dataset.report()
    assert (report.planned, report.delivered, report.skipped) == (EPOCH, delivered, skipped)
    assert {stage.partition("(")[0]: samples for stage, samples in report.dropped.items()} == dropped
    assert (report.ended, report.items, report.shards, report.planned_shards) == (True, len(items), SHARDS, SHARDS)
    assert is_whole(report)
    assert report.adds_up
    assert report.repeated == (None if ledger is None else 0)


@pytest.mark.parametrize("ledger", [None, STRICT], ids=["counted", "followed"])
@pytest.mark.parametrize("name", CASES)
def test_what_was_not_asked_for_is_held_or_unread(urls: str, counted: wds.Index, name: str, ledger: wds.Ledger | None) -> None:
    dataset = CASES[name][0](wds.WebDataset(urls, shardshuffle=False, seed=1, index=counted, ledger=ledger))
    items = iter(dataset)
    for _ in range(3):
        next(items)
    while_it_runs = dataset.report()
    items.close()
    for report in (while_it_runs, dataset.report()):
        assert is_whole(report)
        assert report.adds_up
        assert not report.ended
        assert (report.held or 0) + (report.unread or 0) > 0
    dataset.with_epoch(2)
    list(dataset)
    assert dataset.report().ended
    assert is_whole(dataset.report())


@pytest.mark.parametrize("ledger", [None, STRICT], ids=["counted", "followed"])
@pytest.mark.parametrize("name", CASES)
def test_an_epoch_that_is_gone_on_with_is_whole(urls: str, counted: wds.Index, name: str, ledger: wds.Ledger | None) -> None:
    def make() -> Any:
        return CASES[name][0](wds.WebDataset(urls, shardshuffle=True, seed=1, index=counted, ledger=ledger))

    whole = make()
    list(whole)
    for taken in (1, 3):
        dataset = make()
        list(islice(iter(dataset), taken))
        resumed = make()
        resumed.load_state_dict(json.loads(json.dumps(dataset.state_dict())))
        list(resumed)
        assert replace(resumed.report(), skips=()) == replace(whole.report(), skips=())


def test_places_of_what_was_skipped(urls: str) -> None:
    dataset = wds.WebDataset(urls, shardshuffle=False).map(fail_for_3, **SKIP).to_tuple("txt", **SKIP)
    list(dataset)
    first, second = dataset.report().skips[:2]
    assert (first.reason, first.stage, first.key, first.samples) == ("SampleError", "to_tuple", "00", 1)
    assert (second.reason, second.stage, second.key, second.offset) == ("ValueError", "map(fail_for_3)", "03", 5120)
    assert (second.url or "").endswith("s0.tar")
    assert dataset.report().reasons == {"SampleError in to_tuple": 4, "ValueError in map(fail_for_3)": 4}


def test_shards_that_break_off_are_skipped_as_far_as_it_is_known_what_they_had(urls: str) -> None:
    objects = {f"mem://{number}.tar": shard(number) for number in range(3)}
    counts = [{"url": url, "samples": SAMPLES, "bytes": len(data)} for url, data in objects.items()]
    objects["mem://1.tar"] = objects["mem://1.tar"][:4000]
    for known in (True, False):
        dataset = wds.WebDataset(list(objects), fetcher=lambda: MemoryFetcher(objects), shardshuffle=False, **SKIP)
        source = dataset.pipeline[0]
        if known:
            records = {each["url"]: ShardRecord(**each) for each in counts}
            dataset.pipeline[0] = replace(source, records=records)
        items = list(dataset)
        report = dataset.report()
        assert (report.shards, report.shards_failed, report.planned_shards) == (2, 1, 3)
        assert report.delivered == len(items)
        assert report.adds_up
        assert (report.planned, report.skipped) == ((30, 30 - len(items)) if known else (None, 0))
        assert (report.skips[0].stage, report.skips[0].url, report.skips[0].samples) == ("reading", "mem://1.tar", None)


def test_a_shard_of_another_number_of_samples_than_planned_is_missing_some() -> None:
    objects = {"mem://0.tar": shard(0), "mem://1.tar": shard(1, 8), "mem://2.tar": shard(2, 11), "mem://3.tar": make_shard([])}
    dataset = wds.WebDataset(list(objects), fetcher=lambda: MemoryFetcher(objects), shardshuffle=False, ledger=STRICT)
    records = {url: ShardRecord(url, SAMPLES, 10240) for url in objects}
    dataset.pipeline[0] = replace(dataset.pipeline[0], records=records)
    items = iter(dataset)
    assert len(list(islice(items, 29))) == 29
    with pytest.raises(
        IncompleteEpochError, match="mem://1.tar has 2 samples less than planned; mem://2.tar has 1 sample more"
    ) as raised:
        next(items)
    report = pickle.loads(pickle.dumps(raised.value)).report
    assert report.missing == {"mem://1.tar": 2, "mem://2.tar": -1, "mem://3.tar": 10}
    assert report == dataset.report()


def test_a_function_that_swallows_samples_is_found_out_where_they_are_followed(urls: str) -> None:
    dataset = wds.WebDataset(urls, shardshuffle=False).compose(every_second)
    assert len(list(dataset)) == 20
    assert (dataset.report().delivered, dataset.report().unaccounted) == (None, None)
    dataset.with_ledger(STRICT)
    with pytest.raises(IncompleteEpochError, match="20 samples went into the stages, did not come out"):
        list(dataset)
    assert (dataset.report().delivered, dataset.report().unaccounted) == (20, 20)


def test_samples_that_a_function_gives_twice_are_repeated(urls: str) -> None:
    dataset = wds.WebDataset(urls, shardshuffle=False, ledger=STRICT).compose(twice)
    assert len(list(dataset)) == 2 * EPOCH
    assert (dataset.report().delivered, dataset.report().repeated) == (EPOCH, EPOCH)
    assert "40 delivered again" in repr(dataset.report())


def test_passes_of_an_iteration_are_planned_as_they_begin(urls: str, counted: wds.Index) -> None:
    dataset = wds.WebDataset(urls, shardshuffle=True, index=counted, repeat=3, ledger=STRICT)
    list(dataset)
    report = dataset.report()
    assert (report.planned, report.delivered, report.repeated, report.planned_shards) == (3 * EPOCH, 3 * EPOCH, 0, 12)
    dataset.with_epoch(50)
    list(dataset)
    assert (dataset.report().planned, dataset.report().delivered, dataset.report().unread) == (80, 50, 30)


def test_of_what_is_resampled_no_number_is_planned(urls: str, counted: wds.Index) -> None:
    dataset = wds.WebDataset(urls, resampled=True, index=counted, ledger=STRICT).with_epoch(30)
    list(dataset)
    report = dataset.report()
    assert (report.planned, report.planned_shards, report.unread, report.delivered) == (None, None, None, 30)
    assert report.adds_up


@pytest.mark.parametrize("ledger", [None, STRICT], ids=["counted", "followed"])
async def test_an_asynchronous_loop_that_breaks_off(urls: str, counted: wds.Index, ledger: wds.Ledger | None) -> None:
    dataset = wds.WebDataset(urls, shardshuffle=False, index=counted, ledger=ledger)
    items = aiter(dataset)
    for _ in range(7):
        await anext(items)
    await asyncio.sleep(0.2)  # all of the epoch is made meanwhile, or nothing more
    assert not dataset.report().ended
    await items.aclose()
    report = dataset.report()
    assert (report.items, report.ended, report.planned) == (7, False, EPOCH)
    if ledger is not None:
        assert report.delivered == 7
        assert is_whole(report)
    assert len([sample async for sample in dataset]) == EPOCH
    assert is_whole(dataset.report())


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_add_up(urls: str, counted: wds.Index, context: str) -> None:
    dataset = wds.WebDataset(urls, shardshuffle=False, index=counted).map(fail_for_3, **SKIP).to_tuple("__key__").batched(4)
    assert sum(len(keys) for (keys,) in wds.MultiLoader(dataset, 3, context=context)) == 36
    report = dataset.report()
    assert (report.planned, report.delivered, report.skipped, len(report.skips)) == (EPOCH, 36, 4, 4)
    assert [info.worker for info in sorted(report.workers, key=lambda info: info.worker)] == [0, 1, 2]
    assert report.adds_up
    assert wds.Report.from_dict(json.loads(json.dumps(report.as_dict()))) == report


def test_a_loader_reports_what_its_processes_did(urls: str, counted: wds.Index) -> None:
    dataset = wds.WebDataset(urls, shardshuffle=False, index=counted).to_tuple("__key__").batched(4)
    with wds.loader(dataset, 2, start_method="fork") as loader:
        assert sum(len(keys) for (keys,) in loader) == EPOCH
        assert (loader.report().delivered, loader.report().ended, len(loader.report().workers)) == (EPOCH, True, 2)


def test_ranks_add_up_and_one_that_is_not_there_is_named(urls: str, counted: wds.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_ranks(world_size: int, nodesplitter: Any) -> list[wds.Report]:
        reports = []
        for rank in range(world_size):
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", str(world_size))
            dataset = wds.WebDataset(urls, index=counted, nodesplitter=nodesplitter, shardshuffle=False)
            list(dataset)
            reports.append(dataset.report())
        return reports

    reports = of_ranks(2, wds.split_by_node)
    together = sum(reports, wds.Report())
    assert (together.planned, together.delivered, together.indexes) == (EPOCH, EPOCH, (0, 1, 2, 3))
    together.check()
    together = of_ranks(3, wds.split_by_node)[1] + of_ranks(3, wds.split_by_node)[0]
    with pytest.raises(IncompleteEpochError, match="no report of worker 0 of rank 2"):
        together.check()
    first_only = of_ranks(2, lambda shards: islice(shards, 3))
    with pytest.raises(IncompleteEpochError, match="1 shard of the list planned by nobody: number 3"):
        sum(first_only, wds.Report()).check()


def test_members_of_a_mix_add_up(urls: str, counted: wds.Index) -> None:
    members = [wds.WebDataset(urls, shardshuffle=False, index=counted) for _ in range(2)]
    mix = wds.FluidWrapper(wds.RoundRobin(members)).listed(8)
    list(mix)
    assert (mix.report().planned, mix.report().delivered, len(mix.report().workers)) == (2 * EPOCH, 2 * EPOCH, 1)


def test_bytes_that_were_asked_for_again_are_counted() -> None:
    objects = {"a.tar": make_shard([{"__key__": str(n), "bin": bytes(300_000)} for n in range(10)])}
    with FaultServer(objects, weather=FaultProfile(seed=3, reset=0.5)) as server:
        dataset = wds.WebDataset(server.url("a.tar"), shardshuffle=False, retry=wds.Retry(backoff=0.001))
        assert len(list(dataset)) == 10
        report = dataset.report()
    assert report.retries > 0
    assert 0 < report.retried == dataset.stats().retried
    assert "fetched by" in repr(report)


def test_a_report_says_it_in_a_line_and_in_a_table(urls: str) -> None:
    dataset = wds.WebDataset(urls, shardshuffle=False).map(fail_for_3, **SKIP)
    assert repr(dataset.report()) == "<Report epoch None: 0 of 0 shards, 0 of 0 samples delivered>"
    list(dataset)
    text = "<Report epoch 0: 4 of 4 shards, 36 samples delivered; 4 skipped (ValueError in map(fail_for_3))>"
    assert repr(dataset.report()) == text
    assert "<th>skipped</th><td>4</td>" in dataset.report()._repr_html_()
