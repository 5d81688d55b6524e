"""What is left of an epoch is given once by any number of ranks and workers, again and again, whenever they stop.

`ELASTIC_STOPS=200` has each pipeline stopped as often, at 1 to 4 moments of an epoch; twice otherwise.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from standing import standing_at

import asyncwds as wds
from asyncwds.errors import SpecError
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import FaultProfile, FaultServer, make_shard

STOPS = int(os.environ.get("ELASTIC_STOPS", "2"))
SHARDS = 9
SIZES = [3 + 5 * number % 9 for number in range(SHARDS)]  # samples of each
KEYS = [f"k{shard}{n:02}" for shard in range(SHARDS) for n in range(SIZES[shard])]
RETRY = wds.Retry(backoff=0.002)
Make = Callable[[str, Random], Any]


def shard(number: int) -> bytes:
    rng = Random(number)
    return make_shard(
        [{"__key__": f"k{number}{n:02}", "cls": str(n), "txt": "x" * rng.randrange(9000)} for n in range(SIZES[number])]
    )


def key_of(sample: dict[str, Any]) -> str:
    key: str = sample["__key__"]
    return key


def drawn(sample: Any, rng: Random) -> tuple[str, float]:
    return key_of(sample), rng.random()


def every_third_fails(sample: Any) -> Any:
    if int(sample["cls"]) % 3 == 1:
        raise ValueError(key_of(sample))
    return sample


@wds.stateless
def marked(samples: Iterator[Any]) -> Iterator[Any]:
    for sample in samples:
        yield {**sample, "marked": True}


def of(urls: str, rng: Random, **options: Any) -> Any:
    """With parts and connections as they come."""
    interleave = options.pop("interleave", 1)
    prefetch = wds.Prefetch(
        part_bytes=rng.choice([4096, 20_000, 1 << 20]),
        connections=rng.choice([interleave, interleave + 2, 9]),
        interleave=interleave,
        interleave_samples=2,
        order=options.pop("order", "plan"),
    )
    fixed = {"seed": 1, "shardshuffle": 20, "nodesplitter": wds.split_by_node, "retry": RETRY, "prefetch": prefetch}
    return wds.WebDataset(urls, **{**fixed, **options})


def mixed(mix: Callable[[list[Any]], Any], urls: str, rng: Random) -> Any:
    """Of two datasets, each with a shuffle."""
    members = [
        of(urls.replace("{0..8}", part), rng, seed=number, empty_check=False).shuffle(4)
        for number, part in enumerate(("{0..3}", "{4..8}"))
    ]
    return wds.FluidWrapper(mix(members), seed=1).map(key_of)


def odd_first(shards: Any, place: Any = None) -> Iterator[Any]:
    """A user's splitter."""
    found = sorted(shards, key=lambda item: -(item["index"] % 2))
    yield from found[place.rank :: place.world_size]


PIPELINES: dict[str, Make] = {
    "plain": lambda urls, rng: of(urls, rng, shardshuffle=False).map(key_of),
    "shuffled shards": lambda urls, rng: of(urls, rng).map(key_of),
    "interleaved": lambda urls, rng: of(urls, rng, interleave=3).map(key_of),
    "shuffle": lambda urls, rng: of(urls, rng).shuffle(10, initial=5).map(key_of),
    "shuffle larger than an epoch": lambda urls, rng: of(urls, rng).shuffle(1000).map(key_of),
    "interleaved, shuffled": lambda urls, rng: of(urls, rng, interleave=3).shuffle(9, initial=9).map(key_of),
    "two shuffles": lambda urls, rng: of(urls, rng).shuffle(8).to_tuple("__key__", "cls").shuffle(5),
    "detshuffle": lambda urls, rng: of(urls, rng).detshuffle(8, 2).map(key_of),
    "decoded, shuffled": lambda urls, rng: of(urls, rng).decode().shuffle(6).to_tuple("__key__", "cls"),
    "batches": lambda urls, rng: of(urls, rng).shuffle(7).to_tuple("__key__", "cls").batched(4),
    "shuffle of lists": lambda urls, rng: of(urls, rng).map(key_of).listed(3).shuffle(4, initial=2),
    "unbatched": lambda urls, rng: of(urls, rng).to_tuple("__key__", "cls").shuffle(5).batched(4).unbatched(),
    "unlisted": lambda urls, rng: of(urls, rng).map(key_of).listed(5).unlisted(),
    "select": lambda urls, rng: of(urls, rng).select(lambda sample: sample["cls"] != b"2").shuffle(5).map(key_of),
    "handlers that skip": lambda urls, rng: (
        of(urls, rng).map(every_third_fails, handler=wds.ignore_and_continue).shuffle(5).map(key_of)
    ),
    "random numbers": lambda urls, rng: of(urls, rng).shuffle(5).map(drawn),
    "workers": lambda urls, rng: of(urls, rng).map(drawn, workers=3),
    "workers between shuffles": lambda urls, rng: of(urls, rng).shuffle(6).map(drawn, workers=2).shuffle(4),
    "map_dict and rename": lambda urls, rng: of(urls, rng).map_dict(cls=int).rename(label="cls").shuffle(4).to_tuple("__key__"),
    "a marked function": lambda urls, rng: of(urls, rng).compose(marked).shuffle(5).to_tuple("__key__", "marked"),
    "passes": lambda urls, rng: of(urls, rng).shuffle(6).map(key_of).repeat(2),
    "compressed": lambda urls, rng: of(urls.replace("/s{", "/z{") + ".gz", rng).shuffle(9).map(key_of),
    "strict": lambda urls, rng: of(urls, rng, strict=True).shuffle(5).map(key_of),
    "chosen files": lambda urls, rng: of(urls, rng, select_files=lambda name: not name.endswith("txt")).shuffle(5).map(key_of),
    "arrival": lambda urls, rng: of(urls, rng, order="arrival").shuffle(5).map(key_of),
    "a splitter of one's own": lambda urls, rng: of(urls, rng, nodesplitter=odd_first).shuffle(5).map(key_of),
    "a mix": lambda urls, rng: mixed(lambda members: wds.RandomMix(members, [2, 1], longest=True, seed=3), urls, rng),
    "a mix by a schedule": lambda urls, rng: mixed(
        lambda members: wds.RandomMix(members, [(0, [3, 1]), (4, [1, 1]), (9, [1, 4])], longest=True), urls, rng
    ),
    "in turn": lambda urls, rng: mixed(lambda members: wds.RoundRobin(members, longest=True), urls, rng),
    "a mix in a mix": lambda urls, rng: mixed(
        lambda members: wds.RoundRobin([wds.RandomMix(members[:1], longest=True), members[1]], longest=True), urls, rng
    ),
    "a mix of members that repeat": lambda urls, rng: mixed(
        lambda members: wds.RandomMix([members[0].repeat(2), members[1].repeat(3)], [2, 1], longest=True, seed=3), urls, rng
    ),
    "a dataset in a pipeline": lambda urls, rng: wds.DataPipeline(
        of(urls, rng, empty_check=False).shuffle(5), wds.map(key_of), seed=1
    ),
    "of a manifest": lambda urls, rng: of(urls.partition("s{")[0] + "manifest.json", rng).shuffle(5).map(key_of),
    "three shards of a manifest": lambda urls, rng: (
        of(urls.partition("s{")[0] + "three.json", rng, interleave=2, empty_check=False).shuffle(3).map(key_of)
    ),
}


@pytest.fixture(scope="module")
def urls() -> Iterator[str]:
    contents = {f"s{number}.tar": shard(number) for number in range(SHARDS)}
    contents |= {f"z{number}.tar.gz": gzip.compress(shard(number)) for number in range(SHARDS)}
    listed = [{"url": f"s{number}.tar", "samples": SIZES[number], "bytes": len(shard(number))} for number in range(SHARDS)]
    contents["manifest.json"] = json.dumps({"format": "asyncwds-manifest-1", "shards": listed}).encode()
    three = [{**listed[1], "samples": SIZES[1] + 5}, listed[2], {**listed[8], "samples": 1}]  # none relies on these numbers
    contents["three.json"] = json.dumps({"format": "asyncwds-manifest-1", "shards": three}).encode()
    weather = FaultProfile(cut=0.03, reset=0.02, median=0.0005, p99=0.003)
    with FaultServer(contents, weather=weather) as server:
        yield f"{server.url('s')}{{0..{SHARDS - 1}}}.tar"


def places_of(world_size: int, num_workers: int = 1) -> list[wds.WorkerInfo]:
    return [wds.WorkerInfo(rank, world_size, worker, num_workers) for rank in range(world_size) for worker in range(num_workers)]


def keys_in(items: list[Any]) -> list[str]:
    return re.findall(r"k\d+", repr(items))


def run_place(data: Any, state: Any, place: wds.WorkerInfo, count: int | None) -> tuple[list[str], Any]:
    """The keys of so many items, and the state as it is saved."""
    with standing_at(place):
        if state is not None:
            data.load_state_dict(state, strict=False)
        items = iter(data)
        given = keys_in(list(islice(items, count)))
        saved = json.loads(json.dumps(data.state_dict()))
        items.close()
    return given, saved


def run_world(make: Callable[[], Any], state: Any, places: list[wds.WorkerInfo], counts: Any) -> tuple[list[str], Any]:
    """What all places give, each stopped at a moment of its own, and the merged state."""
    ran = [run_place(make(), state, place, count) for place, count in zip(places, counts, strict=True)]
    merged = wds.merge_state_dicts([saved for _, saved in ran])
    return [key for keys, _ in ran for key in keys], json.loads(json.dumps(merged))


@pytest.mark.parametrize("name", PIPELINES)
def test_each_sample_of_an_epoch_comes_once_whoever_goes_on_with_it(urls: str, name: str) -> None:
    rng = Random(f"{name} {STOPS}")
    make = partial(PIPELINES[name], urls, rng)
    whole = Counter(run_place(make(), None, wds.WorkerInfo(), None)[0])
    assert len(whole) > len(KEYS) // 4
    stops = 0
    while stops < STOPS:
        given: list[str] = []
        state = None
        for _ in range(min(STOPS - stops, rng.choice([1, 2, 2, 3, 4]))):
            places = places_of(rng.randrange(1, 5), rng.choice([1, 1, 2]))
            mean = max(1, (whole.total() - len(given)) // (2 * len(places)))
            keys, state = run_world(make, state, places, [rng.randrange(2 * mean) for _ in places])
            given += keys
            stops += 1
        places = places_of(rng.randrange(1, 5))
        keys, ended = run_world(make, state, places, [None] * len(places))
        assert Counter(given + keys) == whole
        assert run_world(make, ended, places_of(2), [None, None])[0] == []


@pytest.mark.parametrize("places", [places_of(5), places_of(2, 3)])
def test_fewer_shards_than_places_are_cut_where_samples_are_counted(tmp_path: Path, places: list[wds.WorkerInfo]) -> None:
    listed = []
    for number in range(3):
        made = make_shard([{"__key__": f"k{number}{n:02}", "cls": str(n)} for n in range(20)])
        (tmp_path / f"{number}.tar").write_bytes(made)
        listed.append({"url": f"{number}.tar", "samples": 20, "bytes": len(made)})
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "asyncwds-manifest-1", "shards": listed}))

    def make() -> Any:
        return wds.WebDataset(f"{tmp_path}/manifest.json", seed=1, nodesplitter=wds.split_by_node).map(key_of)

    given, state = run_world(make, None, places_of(3), [2, 20, 11])  # of one nothing is left, and of the others 18 and 9
    ran = [run_place(make(), state, place, 3)[0] for place in places]
    assert [len(keys) for keys in ran] == [3] * len(places)
    more, state = run_world(make, state, places, [3, 0, 4, 2, 1, 9][: len(places)])
    rest, _ = run_world(make, state, places, [None] * len(places))
    assert sorted(given + more + rest) == sorted(f"k{number}{n:02}" for number in range(3) for n in range(20))


# -- without a network


CONTENTS = {f"s{number}.tar": shard(number) for number in range(SHARDS)}


def local(buffer: int = 6, **options: Any) -> Any:
    fixed = {"seed": 1, "shardshuffle": 20, "nodesplitter": wds.split_by_node, "fetcher": lambda: MemoryFetcher(CONTENTS)}
    return wds.WebDataset(f"s{{0..{SHARDS - 1}}}.tar", **{**fixed, **options}).shuffle(buffer).map(key_of)


def saved_by(
    make: Callable[[], Any], places: list[wds.WorkerInfo], counts: list[int], state: Any = None
) -> tuple[list[str], list[Any]]:
    ran = [run_place(make(), state, place, count) for place, count in zip(places, counts, strict=True)]
    return [key for keys, _ in ran for key in keys], [saved for _, saved in ran]


def rest_at(state: Any, places: list[wds.WorkerInfo], make: Callable[[], Any] = local) -> list[str]:
    return [key for place in places for key in run_place(make(), state, place, None)[0]]


def test_the_next_epoch_is_an_ordinary_one() -> None:
    _, states = saved_by(local, places_of(3), [5, 9, 2])
    merged = wds.merge_state_dicts(states)
    for place in places_of(2):
        ordinary, continued = local(), local()
        continued.load_state_dict(merged)
        with standing_at(place):
            assert sorted(continued) != sorted(ordinary)
            assert list(continued) == list(ordinary)
            assert continued.state_dict() == ordinary.state_dict()


def test_an_epoch_that_others_began_is_gone_on_with_exactly_at_its_own_size() -> None:
    first, states = saved_by(local, places_of(3), [5, 9, 2])
    merged = wds.merge_state_dicts(states)
    rest = []
    for place in places_of(2):
        whole = run_place(local(), merged, place, None)[0]
        for count in (0, 1, 7, len(whole)):
            given, state = run_place(local(), merged, place, count)
            assert given + run_place(local(), state, place, None)[0] == whole
        rest += whole
    assert sorted(first + rest) == sorted(KEYS)


def test_what_was_loaded_says_what_is_left_and_stands_for_the_merged_state() -> None:
    first, states = saved_by(local, places_of(3), [5, 9, 2])
    data = local()
    data.load_state_dict(wds.merge_state_dicts(states))
    loaded = json.loads(json.dumps(data.state_dict()))
    assert "merged" not in loaded
    assert sorted(first + rest_at(loaded, places_of(4, 2))) == sorted(KEYS)
    nobody_has_begun = wds.merge_state_dicts([loaded, loaded])
    assert sorted(first + rest_at(nobody_has_begun, places_of(2))) == sorted(KEYS)


def test_of_an_epoch_that_all_have_ended_nothing_is_left_and_of_one_that_nobody_began_all() -> None:
    _, ended = saved_by(local, places_of(2), [99, 99])
    merged = wds.merge_state_dicts(ended)
    assert merged["ended"]
    assert rest_at(merged, places_of(3)) == []
    fresh = wds.merge_state_dicts([local().state_dict() for _ in range(2)])
    assert sorted(rest_at(fresh, places_of(3))) == sorted(KEYS)


@pytest.mark.parametrize("absent", [0, 1])
def test_a_state_that_is_missing_is_an_error_or_what_it_gave_comes_again(absent: int) -> None:
    places = places_of(2, 2)
    ran = [run_place(local(), None, place, 4) for place in places]
    states = [saved for number, (_, saved) in enumerate(ran) if number != absent]
    with pytest.raises(SpecError, match=f"no states of worker {absent} of 2 of rank 0 of 2"):
        wds.merge_state_dicts(states)
    merged = wds.merge_state_dicts(states, missing="redeliver")
    given = [key for number, (keys, _) in enumerate(ran) for key in keys if number != absent]
    assert sorted(given + rest_at(merged, places_of(3))) == sorted(KEYS)
    assert ran[absent][0]
    with pytest.raises(SpecError, match="missing"):
        wds.merge_state_dicts(states, missing="ignore")  # type: ignore[arg-type]


def test_who_has_not_begun_says_not_who_it_is_and_is_not_missing() -> None:
    given, states = saved_by(local, places_of(3)[:2], [4, 7])
    merged = wds.merge_state_dicts([*states, local().state_dict()])
    assert sorted(given + rest_at(merged, places_of(2))) == sorted(KEYS)


def test_states_one_after_the_other_of_a_large_buffer() -> None:
    """Some of them are the one before and a number of items, which are made again."""
    contents = {
        f"{number}.tar": make_shard([{"__key__": f"k{number}{n:03}", "cls": str(n)} for n in range(900)]) for number in range(4)
    }

    def make() -> Any:
        data = wds.WebDataset("{0..3}.tar", seed=1, nodesplitter=wds.split_by_node, fetcher=lambda: MemoryFetcher(contents))
        return data.shuffle(1000).map(key_of)

    given: list[str] = []
    states = []
    for place in places_of(2):
        with standing_at(place):
            data = make()
            items = iter(data)
            saved = []
            for _ in range(300):
                given.append(next(items))
                saved.append(data.state_dict())
            items.close()
        states.append(json.loads(json.dumps(saved[-1])))
    assert any(state["pass"]["skip"] for state in states)
    merged = wds.merge_state_dicts(states)
    assert sorted(given + rest_at(merged, places_of(3), make)) == sorted(
        f"k{number}{n:03}" for number in range(4) for n in range(900)
    )


async def test_in_an_asynchronous_loop_it_is_that_of_the_items_that_were_taken() -> None:
    data, given = local(), []
    items = aiter(data)
    await asyncio.sleep(0.2)  # all of the epoch is made meanwhile, or nothing more
    for _ in range(11):
        given.append(await anext(items))
    state = data.state_dict()
    await items.aclose()
    assert sorted(given + rest_at(wds.merge_state_dicts([state]), places_of(3))) == sorted(KEYS)


class Reversed:
    """A user's stage that holds all it takes."""

    gives_what_it_takes = True

    def __init__(self, elastic: bool) -> None:
        self.elastic = elastic

    def __repr__(self) -> str:
        return "Reversed()"

    def open(self, source: Any, context: Any) -> Any:  # noqa: ARG002 - the protocol
        return ReversedRun(source)

    def reopen(self, source: Any, context: Any, state: Any) -> Any:  # noqa: ARG002 - the protocol
        return ReversedRun(source)


class ReversedRun:
    def __init__(self, source: Any) -> None:
        self.held: list[Any] = []
        self.close, self.interrupt, self.lineage = source.close, source.interrupt, source.lineage
        self.items = self.reversed(source)

    def reversed(self, source: Any) -> Iterator[Any]:
        self.held.extend(source)
        while self.held:
            yield self.held.pop()

    def __iter__(self) -> Iterator[Any]:
        return self.items

    def __next__(self) -> Any:
        return next(self.items)

    def state(self) -> Any:
        return {"held": list(self.held)}


def with_stage(*, elastic: bool) -> Any:
    plain = wds.WebDataset("s{0..3}.tar", seed=1, fetcher=lambda: MemoryFetcher(CONTENTS), nodesplitter=wds.split_by_node)
    return plain.compose(Reversed(elastic)).map(key_of)


def test_a_stage_of_ones_own_says_whether_it_may_begin_anew() -> None:
    given, state = run_place(with_stage(elastic=True), None, wds.WorkerInfo(), 5)
    merged = wds.merge_state_dicts([state])
    rest = rest_at(merged, places_of(2), lambda: with_stage(elastic=True))
    assert sorted(given + rest) == sorted(key for key in KEYS if key[1] in "0123")
    with pytest.raises(SpecError, match="Reversed has a state, and does not say .* `elastic = True`"):
        with_stage(elastic=False).load_state_dict(merged)


# -- what is refused


def numbers() -> Any:
    return wds.DataPipeline(range(30), wds.shuffle(9), seed=3)


def every_second(samples: Iterator[Any]) -> Iterator[Any]:
    yield from islice(samples, 0, None, 2)


REFUSED_WHEN_MERGED: dict[str, tuple[Callable[[], Any], str]] = {
    "numbers": (numbers, "begins with range, and not with the shards"),
    "a list in a mix": (lambda: wds.FluidWrapper(wds.RoundRobin([local(), [1, 2]])), "each rank and worker gives all of"),
    "a batch that is taken apart behind a mix": (
        lambda: wds.FluidWrapper(wds.RoundRobin([local()])).listed(2).unlisted(),
        "a stage behind the datasets",
    ),
    "a function that nobody knows": (
        lambda: local().compose(every_second),
        "which samples were given: nobody knows what every_second",
    ),
    "with_epoch": (lambda: local().with_epoch(8), "each rank and worker gives 8 items in an iteration"),
    "kept in memory": (lambda: local().mcached(), "which samples were given: nobody knows what Cached keeps"),
    "a list of shards": (
        lambda: wds.DataPipeline(wds.SimpleShardList("s{0..8}.tar"), wds.tarfile_to_samples(), seed=1),
        "begins with SimpleShardList",
    ),
}


@pytest.mark.filterwarnings("ignore:nobody knows:asyncwds.errors.ResumeWarning")
@pytest.mark.filterwarnings("ignore:unlisted holds items:asyncwds.errors.ResumeWarning")
@pytest.mark.parametrize("name", REFUSED_WHEN_MERGED)
def test_a_state_that_does_not_say_what_was_given(name: str) -> None:
    make, message = REFUSED_WHEN_MERGED[name]
    data = make()
    if name != "a list of shards":
        next(iter(data))
    state = data.state_dict()
    data.close()
    with pytest.raises(SpecError, match=message):
        wds.merge_state_dicts([state])


REFUSED_WHEN_LOADED: dict[str, tuple[Callable[[], Any], list[wds.WorkerInfo], str]] = {
    "resampled": (lambda: local(resampled=True), places_of(1), "resampled has no end"),
    "slice": (lambda: local().slice(9), places_of(1), "slice counts the samples of each rank and worker"),
    "rsample": (
        lambda: local().rsample(0.5).shuffle(4),
        places_of(1),
        "rsample would be asked again about samples that shuffle held",
    ),
    "all shards for each rank": (lambda: local(nodesplitter=None), places_of(2), "nodesplitter=None each of 2 reads all shards"),
    "all shards for each worker": (lambda: local(workersplitter=None), places_of(1, 2), "workersplitter=None each of 2"),
    "shards that come twice": (lambda: local(nodesplitter=lambda shards: shards), places_of(2), "more than once in this epoch"),
    "rows that are fewer than samples": (
        lambda: local().listed(4).map(lambda batch: batch[1:]).unlisted(),
        places_of(1),
        "in the middle of a batch, of which 2 rows were given",
    ),
}


@pytest.mark.parametrize("name", REFUSED_WHEN_LOADED)
def test_a_pipeline_that_others_cannot_go_on_with(name: str) -> None:
    make, places, message = REFUSED_WHEN_LOADED[name]
    _, states = saved_by(make, places, [2] * len(places))
    merged = wds.merge_state_dicts(states)
    with pytest.raises(SpecError, match=message):
        make().load_state_dict(merged)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (list, "no states to merge"),
        (lambda: [{}], "no states to merge"),
        (lambda: [{"pass": {}, "worker_info": None}], "not the state of a pipeline"),
        (lambda: saved_by(lambda: local(7), places_of(2), [3, 3])[1], r"different pipelines: stage 1: shuffle\(6\) in one"),
        (lambda: saved_by(partial(local, seed=2), places_of(2), [3, 3])[1][1:], "different seeds: 1 and 2"),
        (lambda: saved_by(local, places_of(2), [4, 4])[1], "two states of worker 0 of 1 of rank 0 of 2"),
        (lambda: saved_by(local, places_of(3)[2:], [3])[1], "of 2 ranks and of 3"),
        (lambda: [wds.merge_state_dicts(saved_by(local, places_of(2), [4, 4])[1])], "one of the states is a merged one"),
    ],
)
def test_states_that_do_not_belong_together(other: Callable[[], list[Any]], message: str) -> None:
    found = other()
    states = saved_by(local, places_of(2), [3, 3])[1] if found and found != [{}] else []
    with pytest.raises(SpecError, match=message):
        wds.merge_state_dicts([*states, *found])


def test_epochs_that_are_not_the_same() -> None:
    _, states = saved_by(local, places_of(2), [3, 3])
    later = local()
    with standing_at(places_of(2)[1]):
        later.set_epoch(1)
        items = iter(later)
        next(items)
        states[1] = later.state_dict()
        items.close()
    with pytest.raises(SpecError, match="different epochs: 0 and 1"):
        wds.merge_state_dicts(states)


def test_a_merged_state_and_ranks_that_the_dataset_was_not_made_for() -> None:
    _, state = run_place(local(nodesplitter=wds.single_node_only), None, wds.WorkerInfo(), 5)
    merged = wds.merge_state_dicts([state])
    local().load_state_dict(merged)
    data = local(nodesplitter=wds.single_node_only)
    data.load_state_dict(merged)
    with standing_at(places_of(2)[0]), pytest.raises(SpecError, match="split_by_node"):
        iter(data)


def test_of_members_that_repeat_a_place_that_has_not_begun_has_its_first_pass_left(urls: str) -> None:
    make = partial(PIPELINES["a mix of members that repeat"], urls, Random(1))
    whole = Counter(run_place(make(), None, wds.WorkerInfo(), None)[0])
    for count in (len(KEYS), len(KEYS) // 2):
        given, state = run_world(make, None, places_of(2), [count, 0])
        more, state = run_world(make, state, places_of(3), [0, 5, count])
        rest, _ = run_world(make, state, places_of(1), [None])
        assert Counter(given + more + rest) == whole


def test_weights_of_a_mix_go_on_where_its_states_are_merged() -> None:
    def make() -> Any:
        members = [local(seed=number) for number in range(2)]
        return wds.FluidWrapper(wds.RandomMix(members, [(0, [1, 0]), (6, [0, 1])], longest=True, seed=2), seed=1)

    _, by_schedule = saved_by(make, places_of(2), [6, 6])
    merged = wds.merge_state_dicts(by_schedule)
    assert merged["pass"]["stages"][0]["order"]["of_all"] == 12
    data = make()
    data.load_state_dict(merged)
    with standing_at(places_of(2)[0]):
        items = iter(data)
        next(items)
        order = data.state_dict()["pass"]["stages"][0]["order"]
        items.close()
    assert order["step"] == 7


def test_weights_that_were_set_by_hand_are_those_of_merged_states_too() -> None:
    def make() -> Any:
        return wds.FluidWrapper(wds.RandomMix([local(), local(seed=2)], longest=True, seed=2), seed=1)

    states = []
    for place in places_of(2):
        with standing_at(place):
            data = make()
            items = iter(data)
            next(items)
            data.pipeline[0].set_weights([0, 1])
            next(items)
            states.append(json.loads(json.dumps(data.state_dict())))
            items.close()
    data = make()
    data.load_state_dict(wds.merge_state_dicts(states))
    with standing_at(places_of(3)[1]):
        items = iter(data)
        next(items)
        assert data.state_dict()["pass"]["stages"][0]["order"]["by_hand"] == [[0, [0.0, 1.0]]]
        items.close()
