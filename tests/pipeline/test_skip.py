"""Samples that are left out: the others come as if those had been taken and thrown away, also from a state without `skip`."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import SkipWarning, SpecError
from asyncwds.testing import make_shard

SHARDS, SAMPLES = 6, 7
EVERY = int(os.environ.get("SKIP_EVERY", "19"))
INTERLEAVED = wds.Prefetch(interleave=3, interleave_samples=2)
Make = Callable[..., Any]


def key(shard: int, number: int) -> str:
    return f"{shard}{number}"


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(SHARDS):
        samples = [{"__key__": key(number, n), "cls": str(n), "txt": "x" * (700 * n)} for n in range(SAMPLES)]
        (folder / f"s{number}.tar").write_bytes(make_shard(samples))
    return f"{folder}/s{{0..{SHARDS - 1}}}.tar"


def key_of(sample: Any) -> str:
    found: str = sample["__key__"]
    return found


def first_of(item: Any) -> Any:
    return item[0]


def drawn(sample: Any, rng: Random) -> Any:
    return {**sample, "drawn": rng.random()}


async def awaited(sample: Any) -> Any:
    return sample


def of(urls: str, **options: Any) -> wds.WebDataset[Any]:
    return wds.WebDataset(urls, **{"seed": 1, "shardshuffle": 10, **options})


# Those of which all others come in the order in which they would have come.
PIPELINES: dict[str, Make] = {
    "plain": lambda urls, **o: of(urls, shardshuffle=False, **o).map(key_of),
    "interleaved": lambda urls, **o: of(urls, prefetch=INTERLEAVED, **o).map(key_of),
    "interleaved, shuffled": lambda urls, **o: of(urls, prefetch=INTERLEAVED, **o).shuffle(9, initial=4).map(key_of),
    "shuffle": lambda urls, **o: of(urls, **o).shuffle(10).map(key_of),
    "shuffle larger than an epoch": lambda urls, **o: of(urls, **o).shuffle(1000).map(key_of),
    "two shuffles": lambda urls, **o: of(urls, **o).shuffle(8).to_tuple("__key__", "cls").shuffle(5).map(lambda item: item[0]),
    "detshuffle": lambda urls, **o: of(urls, **o).detshuffle(8, 2).map(key_of),
    "functions before a shuffle": lambda urls, **o: (
        of(urls, **o)
        .decode()
        .select(lambda sample: "cls" in sample)
        .rename(label="cls")
        .map_dict(label=int)
        .associate({})
        .rename_keys(("label", "label"), keep_unselected=True)
        .shuffle(6)
        .map(key_of)
    ),
    "batches": lambda urls, **o: of(urls, **o).shuffle(6).map(key_of).listed(4),
    "batches without the last": lambda urls, **o: of(urls, **o).shuffle(6).map(key_of).listed(3, partial=False),
    "batches taken apart": lambda urls, **o: (
        of(urls, **o).to_tuple("__key__", "cls").shuffle(5).batched(4).unbatched().map(lambda i: i[0])
    ),
    "lists taken apart": lambda urls, **o: of(urls, **o).map(key_of).listed(5).unlisted(),
    "rsample": lambda urls, **o: of(urls, **o).rsample(0.6).shuffle(5).map(key_of),
    "slice": lambda urls, **o: of(urls, **o).slice(3, 30, 2).shuffle(4).map(key_of),
    "workers": lambda urls, **o: of(urls, **o).map(drawn, workers=3).map(key_of),
    "workers before a shuffle": lambda urls, **o: of(urls, **o).map(drawn, workers=3).shuffle(6).map(key_of),
    "coroutines before a shuffle": lambda urls, **o: of(urls, **o).map(awaited, workers=3).shuffle(6).map(key_of),
    "workers between shuffles": lambda urls, **o: of(urls, **o).shuffle(6).map(drawn, workers=2).shuffle(4).map(key_of),
    "workers behind a shuffle": lambda urls, **o: of(urls, **o).shuffle(6).map(key_of, workers=3).listed(2),
    "passes": lambda urls, **o: of(urls, **o).shuffle(10).map(key_of).repeat(2),
    "stages of one's own": lambda urls, **o: wds.DataPipeline(
        wds.SimpleShardList(urls, seed=3), wds.split_by_worker, wds.tarfile_to_samples(), wds.shuffle(9), wds.map(key_of), seed=2
    ).with_skip(o.get("skip")),
    "pipes": lambda urls, **o: of("pipe:cat " + urls, **o).shuffle(5).map(key_of),
    "a pipeline in a pipeline": lambda urls, **o: wds.FluidWrapper(of(urls, **o).shuffle(5), seed=5).map(key_of).listed(4),
    "a mix of one": lambda urls, **o: wds.FluidWrapper(wds.RoundRobin([of(urls, **o).shuffle(5)]), seed=5).map(key_of),
    "a mix of one, shuffled again": lambda urls, **o: (
        wds.FluidWrapper(wds.RoundRobin([of(urls, **o)]), seed=5).shuffle(1).map(key_of)
    ),
    "lanes": lambda urls, **o: of(urls, **o).shuffle(5).map(key_of).lanes(1),
}
# What comes is exact, and the order is another one: shuffles of batches, and where nobody knows which samples go by.
OTHERS: dict[str, Make] = {
    "shuffle of lists": lambda urls, **o: of(urls, **o).map(key_of).listed(4).shuffle(4, initial=2),
    "a function of iterators before a shuffle": lambda urls, **o: of(urls, **o).compose(passed_on).shuffle(6).map(key_of),
    "a mix by chance": lambda urls, **o: wds.FluidWrapper(
        wds.RandomMix(
            [of(urls.replace("..5", "..2"), **o).shuffle(5), of(urls.replace("{0", "{3"), **o)], [2, 1], longest=True, seed=3
        )
    ).map(key_of),
    "a shuffle behind a mix": lambda urls, **o: (
        wds.FluidWrapper(
            wds.RandomMix(
                [of(urls.replace("..5", "..2"), **o).shuffle(5), of(urls.replace("{0", "{3"), **o)], [2, 1], longest=True, seed=3
            ),
            seed=5,
        )
        .shuffle(12, initial=9)
        .map(key_of)
        .listed(2)
    ),
    "order of arrival": lambda urls, **o: of(urls, prefetch=wds.Prefetch(order="arrival"), **o).map(key_of),
    "several lanes": lambda urls, **o: of(urls, **o).shuffle(5).map(key_of).lanes(2),
}


@wds.stateless
def passed_on(samples: Iterator[Any]) -> Iterator[Any]:
    yield from samples


def flat(items: Any) -> list[str]:
    return [each for item in items for each in ([item] if isinstance(item, str) else list(item))]


def taken(data: Any, count: int) -> tuple[list[Any], Any]:
    items = iter(data)
    first = list(islice(items, count))
    state = json.loads(json.dumps(data.state_dict()))
    items.close()
    return first, state


def rest_of(data: Any, state: Any) -> list[Any]:
    data.load_state_dict(state)
    return list(data)


def at_the_end(name: str) -> int:
    """Samples of the last batch, which may not come where it is not full."""
    return 2 if "without" in name else 0


def chosen(name: str, number: int = 6) -> list[str]:
    rng = Random(f"skipped {name}")
    return [key(rng.randrange(SHARDS), rng.randrange(SAMPLES)) for _ in range(number)]


@pytest.mark.parametrize("name", PIPELINES)
def test_all_others_come_in_the_order_in_which_they_would_have_come(urls: str, name: str) -> None:
    make, skip = PIPELINES[name], chosen(name)
    whole = flat(make(urls))
    data = make(urls, skip=skip)
    given = flat(data)
    wanted = [each for each in whole if each not in skip]
    assert given == wanted[: len(given)]
    assert len(wanted) - len(given) <= at_the_end(name)
    if name != "lanes":  # of which there is no report
        assert 0 < data.report().skipped <= 2 * len(skip)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_state_without_skip_is_gone_on_with(urls: str, name: str) -> None:
    """The first k items, and then those that would have come, without what is skipped: for every k with SKIP_EVERY=1."""
    make, skip = PIPELINES[name], chosen(name)
    whole = list(make(urls))
    for cut in range(0, len(whole) + 1, EVERY):
        first, state = taken(make(urls), cut)
        assert first == whole[:cut]
        rest = flat(rest_of(make(urls, skip=skip), state))
        wanted = [each for each in flat(whole[cut:]) if each not in skip]
        assert rest == wanted[: len(rest)], cut
        assert len(wanted) - len(rest) <= at_the_end(name), cut


@pytest.mark.parametrize("name", [*PIPELINES, *OTHERS])
def test_states_of_all_kinds_again_and_again(urls: str, name: str) -> None:
    """Each iteration goes on with another list, and gives all but that."""
    make = {**PIPELINES, **OTHERS}[name]
    lists: list[list[str]] = [[], ["03", "31"], ["03", "31", "45", "12"], [], ["55"]]
    expected = set(flat(make(urls)))
    given: list[str] = []
    state: Any = None
    left_out: set[str] = set()
    for number, skip in enumerate(lists):
        data = make(urls, skip=skip)
        if state is not None:
            data.load_state_dict(state)
        items = iter(data)
        for item in items if number == len(lists) - 1 else islice(items, 2 + 2 * number):
            given += flat([item])
            state = data.state_dict()  # each time, so that some are the one before and a number of items
        state = json.loads(json.dumps(data.state_dict()))
        left_out |= (
            set(skip)
            if "lanes" in name or "behind a mix" in name
            else {each.key for each in data.report().skips if each.key is not None}
        )
        items.close()
    times = 2 if name == "passes" else 1
    assert all(given.count(each) <= times for each in given)
    if "without" not in name:
        assert left_out <= {"03", "31", "45", "12", "55"}
        assert expected - set(given) <= left_out


def test_steps_of_a_ledger_are_the_batches_that_do_not_come(urls: str, tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"

    def make(**options: Any) -> Any:
        return of(urls, **options).shuffle(9).to_tuple("__key__").batched(4).repeat(2)

    first = make(ledger=path)
    whole = [list(keys) for (keys,) in first] + [list(keys) for (keys,) in first]  # 2 epochs of 2 passes
    steps = len(whole) // 2
    skip = [3, 4, steps - 3, steps + 1]
    for given in (wds.LedgerSteps(path, skip), [wds.read_ledger(path)[step] for step in skip]):
        data = make(skip=given)
        items = [list(keys) for (keys,) in data] + [list(keys) for (keys,) in data]
        assert items == [batch for number, batch in enumerate(whole) if number not in skip]
    _, state = taken(make(), 2)
    (tmp_path / "more").mkdir()
    data = make(skip=wds.LedgerSteps(path, range(3, 5)), ledger=tmp_path / "more" / "steps.jsonl")
    assert [list(keys) for (keys,) in rest_of(data, state)] == [whole[2], *whole[5:steps]]
    assert [sample.key for sample in wds.read_ledger(tmp_path / "more" / "steps.jsonl")[1].samples] == whole[5]
    assert data.report().reasons == {"skip in reading": 8}
    with pytest.raises(SpecError, match="a ledger of another name"):
        make(skip=wds.LedgerSteps(path, 3), ledger=path)


def test_steps_of_several_ranks(urls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "steps.jsonl"
    monkeypatch.setenv("WORLD_SIZE", "2")

    def make(rank: int, **options: Any) -> Any:
        monkeypatch.setenv("RANK", str(rank))
        return of(urls, nodesplitter=wds.split_by_node, **options).shuffle(9).map(key_of).listed(3)

    whole = [list(make(rank, ledger=path)) for rank in range(2)]
    states = [taken(make(rank), 1)[1] for rank in range(2)]
    skip = wds.LedgerSteps(path, [2, -1])
    for rank in range(2):
        assert rest_of(make(rank, skip=skip), states[rank]) == [whole[rank][1], *whole[rank][3:-1]]
    bad = {each for rank in range(2) for step in (2, -1) for each in whole[rank][step]}
    monkeypatch.setenv("WORLD_SIZE", "3")
    merged = wds.merge_state_dicts(states)
    rest = [each for rank in range(3) for each in flat(rest_of(make(rank, skip=skip), merged))]
    given = [each for rank in range(2) for each in whole[rank][0]]
    assert sorted(given + rest) == sorted(set(flat(flat(whole))) - bad | set(given))


def test_merged_states_of_iterations_that_left_some_out(urls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(world_size: int, rank: int, **options: Any) -> Any:
        monkeypatch.setenv("WORLD_SIZE", str(world_size))
        monkeypatch.setenv("RANK", str(rank))
        return of(urls, nodesplitter=wds.split_by_node, **options).shuffle(9).map(key_of).listed(3)

    given, states = [], []
    for rank in range(2):
        first, state = taken(make(2, rank, skip=["03", "31", "45"]), 3)
        given += flat(first)
        states.append(state)
    merged = wds.merge_state_dicts(states)
    rest = [each for rank in range(3) for each in flat(rest_of(make(3, rank, skip=["03", "31", "45"]), merged))]
    everything = {key(shard, number) for shard in range(SHARDS) for number in range(SAMPLES)}
    assert sorted(given + rest) == sorted(everything - {"03", "31", "45"})


def test_workers_of_a_loader_and_their_states(urls: str) -> None:
    def make(skip: Any) -> Any:
        return wds.loader(of(urls, skip=skip).shuffle(6).map(key_of).listed(2), processes=2, start_method="fork")

    skip = ["03", "31", "45", "12"]
    with make(None) as loader:
        items = iter(loader)
        first = flat(islice(items, 5))
        state = json.loads(json.dumps(loader.state_dict()))
        whole = first + flat(items)
    with make(skip) as loader:
        loader.load_state_dict(state)
        rest = flat(loader)
        assert loader.report().skipped == len([each for each in skip if each not in first])
    assert sorted(rest) == sorted(set(whole) - set(first) - set(skip))
    with make(skip) as loader:
        items = iter(loader)
        first = flat(islice(items, 9))
        state = json.loads(json.dumps(loader.state_dict()))
    with make([*skip, "55"]) as loader:  # a list that has grown
        loader.load_state_dict(state)
        rest = flat(loader)
    assert sorted(first + rest) == sorted(set(whole) - set(skip) - ({"55"} - set(first)))


async def test_an_asynchronous_loop_and_its_state(urls: str) -> None:
    def make(skip: Any = None) -> Any:
        return of(urls, skip=skip).shuffle(6).map(key_of)

    whole = list(make())
    data = make()
    items = aiter(data)
    first = [await anext(items) for _ in range(13)]
    state = json.loads(json.dumps(data.state_dict()))
    await items.aclose()
    skip = whole[5:9] + whole[15:20]
    resumed = make(skip)
    resumed.load_state_dict(state)
    rest = [item async for item in resumed]
    assert first + rest == whole[:15] + whole[20:]
    again = make(skip)
    assert [item async for item in again] == whole[:5] + whole[9:15] + whole[20:]


def test_a_shard_and_a_key(urls: str, tmp_path: Path) -> None:
    both = [str(tmp_path / "a" / "s0.tar"), str(tmp_path / "b" / "s0.tar")]
    for path in both:
        Path(path).parent.mkdir()
        Path(path).write_bytes(make_shard([{"__key__": "k0", "cls": "0"}, {"__key__": "k1", "cls": "1"}]))
    named = {
        "k1": [],
        ("s0.tar", "k1"): [],
        ("a/s0.tar", "k1"): [both[1]],
        (both[1], "k1"): [both[0]],
    }
    for entry, left in named.items():
        data = wds.WebDataset(both, shardshuffle=False, skip=[entry])
        assert [sample["__url__"] for sample in data if sample["__key__"] == "k1"] == left


def test_what_never_occurs_is_said_once(urls: str, tmp_path: Path) -> None:
    data = of(urls, skip=["none", "03", ("s1.tar", "11"), ("s1.tar", "21")]).map(key_of)
    with pytest.warns(SkipWarning, match=r"did not occur in epoch 0: 'none', \('s1.tar', '21'\)$"):
        assert len(list(data)) == SHARDS * SAMPLES - 2
    list(data)  # warnings are errors
    other = of(urls, skip=["none"])
    list(islice(other, 3))  # nobody knows yet


def test_a_strict_ledger_adds_up(urls: str) -> None:
    data = of(urls, skip=["03", "31"], index=wds.make_index(urls), ledger=wds.Ledger(strict=True)).shuffle(5).map(key_of).listed(4)
    assert len(flat(data)) == 40
    report = data.report()
    assert (report.planned, report.delivered, report.skipped, report.reasons) == (42, 40, 2, {"skip in reading": 2})
    assert sorted((skip.reason, skip.key, skip.url) for skip in report.skips) == [
        ("skip", "03", f"{os.path.dirname(urls)}/s0.tar"),  # noqa: PTH120 - the pattern is no path
        ("skip", "31", f"{os.path.dirname(urls)}/s3.tar"),  # noqa: PTH120 - as above
    ]
    items = iter(data)
    next(items)
    report = data.report()
    assert sum([number or 0 for number in (report.delivered, report.skipped, report.held, report.unread)]) == 42


def test_shares_of_samples(urls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    index = wds.make_index(urls)
    given = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        split = {"index": index, "split": "samples", "uneven": "error", "seed": 1}
        whole = flat(of(urls, **split).shuffle(5).to_tuple("__key__"))
        data = of(urls, **split, skip=["03", "31", "45"]).shuffle(5).to_tuple("__key__")
        assert data.items_per_rank() == len(whole) == 21  # what an epoch has without `skip`
        assert flat(data) == [each for each in whole if each not in {"03", "31", "45"}]
        given += flat(data)
    assert len(set(given)) == 39


def test_by_number_and_key_nothing_is_left_out(urls: str) -> None:
    data = of(urls, skip=["03"]).map(key_of)
    assert data["03"] == "03" == data.sample(3)
    data.close()


@pytest.mark.parametrize("skip", [3, b"key", {"a": "b"}, [3], [("a", "b", "c")], [("a", 1)]])
def test_what_is_no_list_of_samples(urls: str, skip: Any) -> None:
    with pytest.raises(SpecError, match="skip takes"):
        of(urls, skip=skip)


def test_where_there_is_nothing_to_leave_out_of(urls: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="this begins with RoundRobin: give it to the datasets within"):
        list(wds.FluidWrapper(wds.RoundRobin([of(urls)])).with_skip("a"))
    with pytest.raises(SpecError, match="there is no ledger"):
        of(urls, skip=wds.LedgerSteps(tmp_path / "none.jsonl", 1))
    list(of(urls, ledger=tmp_path / "steps.jsonl"))
    with pytest.raises(SpecError, match="42 steps, and no number 42"):
        of(urls, skip=wds.LedgerSteps(tmp_path / "steps.jsonl", [1, 42]))
    assert of(urls).with_skip([]).with_skip(None).pipeline  # none of them is nothing


def counted(samples: Iterator[Any]) -> Iterator[Any]:
    yield from samples


@pytest.mark.filterwarnings("ignore:nobody knows what counted keeps:asyncwds.errors.ResumeWarning")
def test_a_state_from_which_the_epoch_is_read_again(urls: str) -> None:
    def make(skip: Any = None) -> Any:
        return of(urls, skip=skip).compose(counted).map(key_of)

    whole = list(make())
    _, state = taken(make(), 10)
    with pytest.raises(SpecError, match="does not say which samples were given: nobody knows what counted keeps"):
        rest_of(make(["03"]), state)
    first, state = taken(make([whole[3], whole[20]]), 10)  # with as much left out, it is as exact as without
    assert first + rest_of(make([whole[3], whole[20]]), state) == [each for each in whole if each not in {whole[3], whole[20]}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(make(["03"]))) == 41
