"""The first k items and the rest, by a new dataset from the state that was saved, are the uninterrupted run: for every pipeline."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import ChangedError, ResumeWarning, SpecError
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import FaultProfile, FaultServer, make_shard

SHARDS, SAMPLES = 6, 7
EPOCH = SHARDS * SAMPLES
INTERLEAVED = wds.Prefetch(interleave=3, interleave_samples=2)
Make = Callable[[str], Any]


def shard(number: int) -> bytes:
    return make_shard([{"__key__": f"{number}{n}", "cls": str(n), "txt": "x" * (700 * n)} for n in range(SAMPLES)])


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(SHARDS):
        (folder / f"s{number}.tar").write_bytes(shard(number))
        (folder / f"z{number}.tar.gz").write_bytes(gzip.compress(shard(number)))
    return f"{folder}/s{{0..{SHARDS - 1}}}.tar"


def key_of(sample: dict[str, Any]) -> str:
    key: str = sample["__key__"]
    return key


def drawn(sample: Any, rng: Random) -> tuple[str, float]:
    return key_of(sample), rng.random()


def fail_now_and_then(sample: Any) -> Any:
    if key_of(sample)[1] == "3":
        raise ValueError(key_of(sample))
    return sample


@wds.stateless
def doubled(samples: Iterator[Any]) -> Iterator[Any]:
    for sample in samples:
        yield {**sample, "twice": sample["cls"] * 2}


class Pairs:
    """A stage of a user's that holds a sample back, and says so."""

    gives_what_it_takes = True

    def open(self, source: Any, context: Any) -> Any:  # noqa: ARG002 - the protocol
        return PairsRun(source)

    def reopen(self, source: Any, context: Any, state: Any) -> Any:  # noqa: ARG002 - the protocol
        return PairsRun(source, state["second"])


class PairsRun:
    def __init__(self, source: Any, second: bool = False) -> None:
        self.held: list[Any] = []
        self.second = second  # what it holds is given next
        self.source = source
        self.close, self.interrupt, self.lineage = source.close, source.interrupt, source.lineage
        self.items = self.swapped()

    def swapped(self) -> Iterator[Any]:
        for sample in self.source:
            if self.second:
                self.second = False
                yield sample
                continue
            self.held.append(sample)
            if len(self.held) == 2:
                self.second = True
                yield self.held.pop()
                self.second = False
                yield self.held.pop()
        yield from self.held

    def __iter__(self) -> Iterator[Any]:
        return self.items

    def __next__(self) -> Any:
        return next(self.items)

    def state(self) -> Any:
        return {"held": list(self.held), "second": self.second}


def of(urls: str, **options: Any) -> wds.WebDataset:
    return wds.WebDataset(urls, **{"seed": 1, "shardshuffle": 10, **options})


# Those that go on from where they were.
CHEAP: dict[str, Make] = {
    "plain": lambda urls: of(urls, shardshuffle=False).map(key_of),
    "shuffled shards": lambda urls: of(urls).map(key_of),
    "interleaved": lambda urls: of(urls, prefetch=INTERLEAVED).map(key_of),
    "interleaved, shuffled": lambda urls: of(urls, prefetch=INTERLEAVED).shuffle(9, initial=4).map(key_of),
    "shuffle": lambda urls: of(urls).shuffle(10).map(key_of),
    "shuffle larger than an epoch": lambda urls: of(urls).shuffle(1000).map(key_of),
    "shuffle of many": lambda urls: of(urls).shuffle(40, initial=40).map(key_of),
    "two shuffles": lambda urls: of(urls).shuffle(8).to_tuple("__key__", "cls").shuffle(5),
    "detshuffle": lambda urls: of(urls).detshuffle(8, 2).map(key_of),
    "decoded, shuffled": lambda urls: of(urls).decode().shuffle(6).to_tuple("__key__", "cls"),
    "batches": lambda urls: of(urls).to_tuple("__key__", "cls").batched(4),
    "batches without the last": lambda urls: of(urls).to_tuple("__key__", "cls").batched(4, partial=False),
    "shuffle of lists": lambda urls: of(urls).map(key_of).listed(4).shuffle(4, initial=2),
    "unbatched": lambda urls: of(urls).to_tuple("__key__", "cls").shuffle(5).batched(4).unbatched(),
    "unlisted": lambda urls: of(urls).map(key_of).listed(5).unlisted(),
    "select": lambda urls: of(urls).select(lambda sample: sample["cls"] != b"2").shuffle(5).map(key_of),
    "rsample": lambda urls: of(urls).rsample(0.6).shuffle(5).map(key_of),
    "slice": lambda urls: of(urls).slice(3, 30, 2).map(key_of),
    "slice before a shuffle": lambda urls: of(urls).slice(20).shuffle(5).map(key_of),
    "handlers that skip": lambda urls: of(urls).map(fail_now_and_then, handler=wds.ignore_and_continue).shuffle(5).map(key_of),
    "random numbers": lambda urls: of(urls).map(drawn).shuffle(5),
    "random numbers behind a shuffle": lambda urls: of(urls).shuffle(5).map(drawn),
    "workers": lambda urls: of(urls).map(drawn, workers=3),
    "workers between shuffles": lambda urls: of(urls).shuffle(6).map(drawn, workers=2).shuffle(4),
    "map_dict and rename": lambda urls: of(urls).map_dict(cls=int).rename(label="cls").shuffle(4).to_tuple("__key__", "label"),
    "stateless function": lambda urls: of(urls).compose(doubled).shuffle(5).to_tuple("__key__", "twice"),
    "a stage that holds back": lambda urls: of(urls).compose(Pairs()).shuffle(5).map(key_of),
    "passes": lambda urls: of(urls).shuffle(10).map(key_of).repeat(2),
    "an epoch of a length": lambda urls: of(urls).shuffle(10).map(key_of).with_epoch(100),
    "resampled": lambda urls: of(urls, resampled=True).shuffle(10).map(key_of).with_epoch(60),
    "stages of one's own": lambda urls: wds.DataPipeline(
        wds.SimpleShardList(urls, seed=3), wds.split_by_worker, wds.tarfile_to_samples(), wds.shuffle(9), wds.map(key_of), seed=2
    ),
    "resampled list": lambda urls: wds.DataPipeline(
        wds.ResampledShards(urls, seed=3), wds.tarfile_to_samples(), wds.shuffle(9), wds.map(key_of), seed=2
    ).with_epoch(50),
    "compressed": lambda urls: of(urls.replace("/s{", "/z{") + ".gz").shuffle(9).map(key_of),
    "pipes": lambda urls: of("pipe:cat " + urls).shuffle(5).map(key_of),
    "strict": lambda urls: of(urls, strict=True).shuffle(5).map(key_of),
    "chosen files": lambda urls: of(urls, select_files=lambda name: not name.endswith("txt")).shuffle(5).map(key_of),
}


def mixed(urls: str) -> wds.RandomMix[Any]:
    return wds.RandomMix([of(urls).shuffle(5), of(urls, seed=7)], [2, 1], longest=True, seed=3)


def wrapped(head: Any) -> Any:
    return wds.FluidWrapper(head, seed=5)


CHEAP |= {
    "a mix by chance": lambda urls: wrapped(mixed(urls)).map(key_of),
    "a mix in turn": lambda urls: (
        wrapped(wds.RoundRobin([of(urls).shuffle(5), of(urls.replace("..5", "..2"))], True)).map(key_of).listed(3)
    ),
    "a mix of mixes and a list": lambda urls: wrapped(
        wds.RoundRobin([wds.RandomMix([of(urls), of(urls, seed=7)]), of(urls, seed=8), [{"__key__": str(n)} for n in range(30)]])
    ).map(key_of),
    "passes over a mix": lambda urls: wrapped(mixed(urls)).map(key_of).with_epoch(130),
    "weights by steps": lambda urls: wrapped(
        wds.RandomMix([of(urls), of(urls, seed=7)], [(0, [1, 0]), (10, [1, 3]), (20, [0, 1])], longest=True)
    ).map(key_of),
    "weights by a function": lambda urls: wrapped(wds.RandomMix([of(urls), of(urls, seed=7)], lambda step: [1, step])).map(key_of),
    "a pipeline in a pipeline": lambda urls: wrapped(of(urls).shuffle(5)).map(key_of).listed(4),
    "passes over a pipeline in a pipeline": lambda urls: wrapped(of(urls).shuffle(5)).map(key_of).with_epoch(60),
    "a list": lambda urls: wds.DataPipeline((*range(30), urls[-6:]), wds.map(str)),
}


def repeating(urls: str) -> wds.RandomMix[Any]:
    """Of members that go through small epochs again and again."""
    few = urls.replace("..5", "..1")
    return wds.RandomMix([of(few).shuffle(3).map(drawn).repeat(), of(few, seed=7).to_tuple("cls", "__key__").repeat()], [3, 1])


def of_batches(urls: str) -> wds.RoundRobin[Any]:
    """Of members that give lists, the last of each smaller."""
    return wds.RoundRobin([of(urls).listed(4), of(urls, seed=7).map(key_of).listed(5)], longest=True)


# What is held behind datasets within: to go on, these take a thread each, and some milliseconds.
BEHIND: dict[str, Make] = {
    "a shuffle behind a mix": lambda urls: wrapped(mixed(urls)).shuffle(4).map(key_of),
    "a shuffle behind a mix of mixes": lambda urls: wrapped(wds.RoundRobin([mixed(urls), of(urls, seed=8)])).shuffle(4).map(key_of),
    "a shuffle behind a pipeline": lambda urls: wrapped(of(urls).shuffle(5)).shuffle(4).map(key_of),
    "a large shuffle behind a mix": lambda urls: wrapped(mixed(urls)).shuffle(60, initial=50).map(key_of),
    "batches and a shuffle behind a mix": lambda urls: wrapped(mixed(urls)).map(key_of).listed(3).shuffle(4, initial=3),
    "workers behind a mix": lambda urls: wrapped(mixed(urls)).map(drawn, workers=3).shuffle(3),
    "a shuffle behind members that repeat": lambda urls: wrapped(repeating(urls)).shuffle(40, initial=30).with_epoch(90),
    "a shuffle behind a mix of batches": lambda urls: wrapped(of_batches(urls)).shuffle(7).map(str),
    "batches of batches behind a mix": lambda urls: wrapped(of_batches(urls)).listed(2).shuffle(4).map(str),
    "lists that are taken apart behind a mix": lambda urls: wrapped(mixed(urls)).map(key_of).listed(4).unlisted(),
    "shuffles within and behind": lambda urls: wrapped(
        wds.RoundRobin([wrapped(mixed(urls)).shuffle(6).map(drawn), of(urls, seed=8).map(drawn)], True)
    ).shuffle(9),
    "two passes over a mix in a mix": lambda urls: (
        wrapped(wds.RandomMix([wrapped(mixed(urls)).shuffle(6).map(drawn).repeat(2), repeating(urls)], seed=2))
        .shuffle(9)
        .repeat(2)
        .with_epoch(150)
    ),
    "compressed shards behind a mix": lambda urls: (
        wrapped(wds.RoundRobin([of(urls.replace("/s{", "/z{") + ".gz"), of(urls)])).shuffle(9).map(key_of)
    ),
    "lists of shards behind a mix": lambda urls: (
        wrapped(wds.RandomMix([wds.DataPipeline(wds.SimpleShardList(urls), wds.tarfile_to_samples(), seed=3), of(urls)], seed=4))
        .shuffle(9)
        .map(key_of)
    ),
}
CHEAP |= BEHIND
# Those of which the epoch is read again.
READ_AGAIN: dict[str, Make] = {
    "what is held behind unbatched": lambda urls: of(urls).to_tuple("__key__", "cls").batched(4).unbatched().shuffle(5),
    "shuffled batches in batches": lambda urls: of(urls).map(key_of).listed(5).shuffle(2).listed(1).shuffle(3),
    "shuffled batches in batches behind a mix": lambda urls: (
        wrapped(wds.RoundRobin([of(urls).map(key_of).listed(4).shuffle(4), of(urls)])).listed(2).shuffle(3).map(str)
    ),
    "kept in memory": lambda urls: of(urls).map(key_of).mcached().repeat(2),
    "numbers": lambda urls: wds.DataPipeline(range(30), wds.shuffle(9), seed=3),
    "a shuffle behind a mix with a list": lambda urls: (
        wrapped(wds.RoundRobin([of(urls), [{"__key__": str(n)} for n in range(30)]])).shuffle(4).map(key_of)
    ),
    "a shuffle behind what is taken apart": lambda urls: wrapped(
        wds.RoundRobin([of(urls).map(key_of).listed(4).unlisted(), of(urls, seed=7).map(key_of)])
    ).shuffle(4),
}


def pipelines() -> dict[str, Make]:
    return CHEAP | READ_AGAIN


def plain(item: Any) -> str:
    return repr(item)


def taken(data: Any, count: int) -> tuple[list[str], Any]:
    """So many items, and the state as it is saved."""
    items = iter(data)
    first = list(map(plain, islice(items, count)))
    state = json.loads(json.dumps(data.state_dict()))
    items.close()
    return first, state


def taken_on_the_way(data: Any, places: list[int]) -> list[tuple[list[str], Any]]:
    """The same for several places, in one run."""
    items, first, found = iter(data), [], []
    for place in places:
        first += map(plain, islice(items, place - len(first)))
        found.append((list(first), json.loads(json.dumps(data.state_dict()))))
    items.close()
    return found


def rest_of(data: Any, state: Any, *, strict: bool = True) -> list[str]:
    data.load_state_dict(state, strict)
    return list(map(plain, data))


def cuts(length: int, name: str, number: int = 2) -> list[int]:
    return sorted({0, 1, length, *[Random(f"{name} {i}").randrange(length) for i in range(number)]})


@pytest.mark.filterwarnings("ignore:nobody knows what Cached keeps:asyncwds.errors.ResumeWarning")
@pytest.mark.filterwarnings("ignore:shuffle holds a part of what unbatched:asyncwds.errors.ResumeWarning")
@pytest.mark.filterwarnings("ignore:batched collects batches that were shuffled:asyncwds.errors.ResumeWarning")
@pytest.mark.filterwarnings("ignore:it holds items:asyncwds.errors.ResumeWarning")
@pytest.mark.filterwarnings("ignore:a stage behind it holds a part of what unlisted:asyncwds.errors.ResumeWarning")
@pytest.mark.parametrize("name", pipelines())
@pytest.mark.parametrize("number", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_the_first_items_and_the_rest_are_the_whole(urls: str, name: str, number: int) -> None:
    make = partial(pipelines()[name], urls)
    whole = list(map(plain, make()))
    assert len(whole) > 6
    places = cuts(len(whole), name, min(number, 8) if name in BEHIND else number)
    states = [taken(make(), cut) for cut in places] if number == 2 else taken_on_the_way(make(), places)
    for cut, (first, state) in zip(places, states, strict=True):
        if name in CHEAP and 0 < cut < len(whole):
            assert state["pass"]["stages"] is not None, (cut, state["pass"]["reason"])
        assert first + rest_of(make(), state) == whole, cut


@pytest.mark.parametrize("name", ["interleaved, shuffled", "two shuffles", "workers between shuffles", "passes", "unbatched"])
def test_again_and_again_and_then_the_next_epoch(urls: str, name: str) -> None:
    make = partial(CHEAP[name], urls)
    data = make()
    whole = [list(map(plain, data)), list(map(plain, data))]
    given: list[str] = []
    data = make()
    for step in (0, 1, 5, 4, 9):
        first, state = taken(data, step)
        given += first
        data = make()
        data.load_state_dict(state)
    assert [given + list(map(plain, data)), list(map(plain, data))] == whole


def slowly(sample: Any) -> Any:
    time.sleep(0.002)  # longer than what workers wait for more
    return sample


def as_it_is(sample: Any) -> Any:
    return sample


@pytest.mark.parametrize("batch", [1, 2])
def test_a_state_while_what_was_held_is_still_being_read_again(urls: str, batch: int) -> None:
    """Workers ask for it little by little: what they have not asked for yet must not be lost."""

    def make(function: Callable[[Any], Any] = slowly) -> Any:
        return of(urls).map(function).listed(batch).map(str, workers=2)

    whole = list(map(plain, make(as_it_is)))
    given, state = taken(make(as_it_is), 2)
    waiting = 0
    for step in (1, 1, 2, 1):
        data = make()
        data.load_state_dict(state)
        first, state = taken(data, step)
        given += first
        waiting += "own" in state["pass"]["stages"][-1]
    assert waiting
    assert given + rest_of(make(), state) == whole


@pytest.mark.parametrize("name", ["interleaved, shuffled", "two shuffles", "random numbers"])
async def test_in_an_asynchronous_loop_it_is_that_of_the_item_that_was_taken(urls: str, name: str) -> None:
    make = partial(CHEAP[name], urls)
    whole = list(map(plain, make()))
    for cut in cuts(len(whole) - 1, name, 3):
        data, first = make(), []
        items = aiter(data)
        for _ in range(cut):
            first.append(plain(await anext(items)))
        state = json.loads(json.dumps(data.state_dict()))
        await items.aclose()
        assert state["items"] == cut
        assert first + rest_of(make(), state) == whole


@pytest.mark.parametrize("behind", [1, 4])
def test_weights_that_were_set_by_hand_are_in_the_state(urls: str, behind: int) -> None:
    def make() -> tuple[Any, Any]:
        mix = wds.RandomMix([of(urls), of(urls, seed=7)], longest=True)
        return mix, wds.FluidWrapper(mix, seed=5).shuffle(behind, initial=behind).map(key_of)

    mix, data = make()
    items, given, states = iter(data), [], []
    for number in range(30):
        if number in {6, 17}:
            mix.set_weights([1, 0] if number == 6 else [1, 4])
        given.append(plain(next(items)))
        states.append(json.loads(json.dumps(data.state_dict())))
    given += map(plain, items)
    for count in (3, 9, 25):
        mix, data = make()
        data.load_state_dict(states[count - 1])
        items, again = iter(data), []
        for number in range(count, 30):
            if number in {6, 17}:
                mix.set_weights([1, 0] if number == 6 else [1, 4])
            again.append(plain(next(items)))
        assert again + list(map(plain, items)) == given[count:], count


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, "x"], 3])
def test_what_are_no_weights(urls: str, weights: Any) -> None:
    with pytest.raises(SpecError):
        wds.RandomMix([of(urls), of(urls)]).set_weights(weights)


@pytest.mark.parametrize("steps", [[(1, [1, 1])], [(0, [1, 1]), (0, [1, 2])], [(0, [1])], [(0, [1, 1]), (-1, [1, 1])]])
def test_what_are_no_steps(urls: str, steps: Any) -> None:
    with pytest.raises(SpecError):
        wds.RandomMix([of(urls), of(urls)], steps)


@pytest.mark.parametrize("interleave", [1, 3])
def test_over_a_bad_network_with_other_parts_and_connections(interleave: int) -> None:
    contents = {f"s{number}.tar": shard(number) for number in range(SHARDS)}
    rng = Random(interleave)

    def make(url: str) -> Any:
        prefetch = wds.Prefetch(
            interleave=interleave,
            interleave_samples=2,
            part_bytes=rng.choice([512, 3000, 8192]),
            connections=rng.choice([3, 4, 9]),
        )
        return (
            wds.WebDataset(
                f"{url}{{0..{SHARDS - 1}}}.tar", retry=wds.Retry(backoff=0.01), seed=1, shardshuffle=10, prefetch=prefetch
            )
            .shuffle(9)
            .map(drawn, workers=rng.choice([1, 3]))
        )

    with FaultServer(contents, weather=FaultProfile(cut=0.1, reset=0.05, median=0.001, p99=0.01)) as server:
        whole = list(map(plain, make(server.url("s"))))
        for cut in cuts(EPOCH, "network", 3):
            first, state = taken(make(server.url("s")), cut)
            assert first + rest_of(make(server.url("s")), state, strict=False) == whole


@pytest.mark.parametrize("name", ["interleaved, shuffled", "batches"])
def test_in_a_new_process(urls: str, name: str) -> None:
    code = f"""
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("resumed", {str(Path(__file__))!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
state = json.load(sys.stdin)
print(json.dumps(module.rest_of(module.CHEAP[{name!r}]({urls!r}), state)))
"""
    make = partial(CHEAP[name], urls)
    first, state = taken(make(), 6)
    done = subprocess.run([sys.executable, "-c", code], input=json.dumps(state), capture_output=True, text=True, check=True)
    assert first + json.loads(done.stdout) == list(map(plain, make()))


@pytest.mark.parametrize(("held", "initial"), [(2000, 100), (3000, 2800)])
def test_states_one_after_the_other_of_a_large_buffer(tmp_path: Path, held: int, initial: int) -> None:
    for number in range(4):
        samples = [{"__key__": f"{number}{n:03}", "cls": str(n)} for n in range(900)]
        (tmp_path / f"{number}.tar").write_bytes(make_shard(samples))

    def make() -> Any:
        return wds.WebDataset(f"{tmp_path}/{{0..3}}.tar", shardshuffle=10, seed=1).shuffle(held, initial=initial).map(key_of)

    whole = list(map(plain, make()))
    data = make()
    items, states = iter(data), []
    for _ in range(700):
        next(items)
        states.append(json.dumps(data.state_dict()))
    items.close()
    states.append(json.dumps(data.state_dict()))
    for count in (1, 2, 350, 699, 700, 701):
        assert rest_of(make(), json.loads(states[count - 1])) == whole[min(count, 700) :]


# -- what is asked for


def recorded(asked: list[tuple[str, int]], contents: dict[str, bytes]) -> Callable[[], MemoryFetcher]:
    async def steer(url: str, offset: int | None) -> None:
        if offset is not None:
            asked.append((url, offset))

    return lambda: MemoryFetcher(contents, steer=steer)


@pytest.mark.parametrize("cut", range(0, 4 * SAMPLES + 1, 3))
def test_of_shards_that_were_read_nothing_is_asked_for_and_the_open_one_is_gone_on_with(cut: int) -> None:
    contents = {f"s{number}.tar": shard(number) for number in range(SHARDS)}
    asked: list[tuple[str, int]] = []
    urls = f"s{{0..{SHARDS - 1}}}.tar"
    data = wds.WebDataset(urls, shardshuffle=False, fetcher=lambda: MemoryFetcher(contents))
    _, state = taken(data, cut)
    resumed = wds.WebDataset(urls, shardshuffle=False, fetcher=recorded(asked, contents))
    resumed.load_state_dict(state)
    sample = next(iter(resumed))
    assert sample["__key__"] == f"{cut // SAMPLES}{cut % SAMPLES}"
    resumed.close()
    first = min(asked)
    assert first[0] == f"s{cut // SAMPLES}.tar"
    assert (first[1] > 0) == (cut % SAMPLES > 0)


def test_a_shard_that_was_replaced_is_an_error() -> None:
    contents = {f"s{number}.tar": shard(number) for number in range(SHARDS)}

    def make() -> Any:
        return wds.WebDataset("s{0..5}.tar", shardshuffle=False, seed=1, fetcher=lambda: MemoryFetcher(contents)).shuffle(5)

    _, state = taken(make(), 9)
    contents.update({f"s{number}.tar": shard(number + 1) for number in range(SHARDS)})
    with pytest.raises(ChangedError, match="replaced"):
        rest_of(make(), state)


# -- what is no such state, or of something else


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shardshuffle": 4}, "shardshuffle: 10 in the state, 4 here"),
        ({"prefetch": INTERLEAVED}, "interleave: '1' in the state, '3 x 2' here"),
        ({"resampled": True}, "draw: None in the state"),
        ({"nodesplitter": None}, "splitters: .*None"),
    ],
)
def test_another_order_of_shards_is_refused(urls: str, options: Any, message: str) -> None:
    _, state = taken(of(urls).shuffle(5), 4)
    with pytest.raises(SpecError, match=message):
        of(urls, **options).shuffle(5).load_state_dict(state, strict=False)


def test_other_urls_and_stages_are_refused_and_options_on_request(urls: str) -> None:
    first, state = taken(of(urls).shuffle(5).map(key_of), 4)
    with pytest.raises(SpecError, match="the number of urls: 6 in the state, 5 here"):
        of(urls.replace("..5", "..4")).shuffle(5).map(key_of).load_state_dict(state)
    with pytest.raises(SpecError, match=r"stage 1: shuffle\(5\) in the state, shuffle\(6\) here"):
        of(urls).shuffle(6).map(key_of).load_state_dict(state)
    with pytest.raises(SpecError, match=r"the stages: .* in the state, Source, shuffle\(5\) here"):
        of(urls).shuffle(5).load_state_dict(state)
    other = of(urls).shuffle(5).map(key_of, workers=2)
    with pytest.raises(SpecError, match=r"stage 2"):
        other.load_state_dict(state)
    other.load_state_dict(state, strict=False)
    assert first + list(map(plain, other)) == list(map(plain, of(urls).shuffle(5).map(key_of)))


def spec(urls: str) -> Any:
    return wds.MultiShardSample({"datasets": [{"shards": urls}]})


LISTS: dict[str, tuple[Callable[[str], Any], Callable[[str], Any], str]] = {
    "SimpleShardList": (
        wds.SimpleShardList,
        lambda urls: wds.SimpleShardList(urls.replace("..5", "..4")),
        "the number of urls: 6 ",
    ),
    "another seed": (wds.SimpleShardList, partial(wds.SimpleShardList, seed=3), "the seed of the list of shards: None .*, 3 here"),
    "ResampledShards": (
        wds.ResampledShards,
        lambda urls: wds.ResampledShards(urls.replace("/s{", "/z{") + ".gz"),
        r"urls \(digest",
    ),
    "a list": (lambda urls: [[urls.replace("{0..5}", "1")]], lambda urls: [[urls.replace("{0..5}", "2")]], r"urls \(digest\)"),
    "MultiShardSample": (spec, lambda urls: spec(urls.replace("..5", "..3")), "the number of urls: 6 in the state, 4 here"),
}


@pytest.mark.parametrize("name", LISTS)
def test_another_list_of_shards_is_refused(urls: str, name: str) -> None:
    first, then, message = LISTS[name]
    _, state = taken(wds.DataPipeline(first(urls), wds.tarfile_to_samples(), wds.map(key_of), seed=1), 4)
    other = wds.DataPipeline(then(urls), wds.tarfile_to_samples(), wds.map(key_of), seed=1)
    with pytest.raises(SpecError, match=message):
        other.load_state_dict(state, strict=False)
    del state["description"]["list"]  # as versions before left it out
    other.load_state_dict(state, strict=False)


def test_another_worker_is_refused(urls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = taken(of(urls).shuffle(5), 4)
    monkeypatch.setenv("WORKER", "1")
    monkeypatch.setenv("NUM_WORKERS", "2")
    data = of(urls).shuffle(5)
    data.load_state_dict(state)
    with pytest.raises(SpecError, match="worker 0 of 1 of rank 0 of 1, and this is worker 1 of 2"):
        iter(data)


def test_in_the_order_of_arrival_nothing_can_be_dropped_by_its_number(urls: str) -> None:
    def make() -> Any:
        return of(urls, prefetch=wds.Prefetch(order="arrival")).map(key_of)

    first, state = taken(make(), 9)
    assert sorted(first + rest_of(make(), state)) == sorted(map(plain, make()))
    with pytest.raises(SpecError, match="order=.arrival."):
        make().load_state_dict({**state, "pass": {**state["pass"], "stages": None}})


def test_a_later_format_is_refused(urls: str) -> None:
    _, state = taken(of(urls), 4)
    with pytest.raises(SpecError, match="format 99"):
        of(urls).load_state_dict({**state, "format": 99})


@pytest.mark.parametrize(("epoch", "at_end"), [(3, False), (3, True), (4, True), (0, True)])
def test_the_number_of_an_epoch_that_is_set_after_a_state(urls: str, epoch: int, at_end: bool) -> None:
    """Loops say `set_epoch` before each epoch: what follows is the rest of it, or all of another one (datasets 7447)."""
    data = of(urls).shuffle(5).map(key_of)
    epochs = [list(map(plain, data)) for _ in range(5)]
    data.set_epoch(3)
    _, state = taken(data, EPOCH + 1 if at_end else 9)
    resumed = of(urls).shuffle(5).map(key_of)
    resumed.load_state_dict(state)
    resumed.set_epoch(epoch)
    rest = [] if at_end else epochs[3][9:]
    assert list(map(plain, resumed)) == (rest if epoch == 3 else epochs[epoch])


def test_a_state_that_is_dropped_in_mid_epoch_is_a_warning(urls: str) -> None:
    data = of(urls).shuffle(5).map(key_of)
    whole = list(map(plain, data))
    data.set_epoch(3)
    _, state = taken(data, 9)
    resumed = of(urls).shuffle(5).map(key_of)
    resumed.load_state_dict(state)
    with pytest.warns(ResumeWarning, match=r"set_epoch\(0\) drops the state of epoch 3") as caught:
        resumed.set_epoch(0)
    assert caught[0].filename == __file__
    assert list(map(plain, resumed)) == whole


# -- functions that may keep anything


def every_second(samples: Iterator[Any]) -> Iterator[Any]:
    for number, sample in enumerate(samples):
        if number % 2:
            yield sample


def test_what_a_function_keeps_nobody_knows_and_so_the_epoch_is_read_again(urls: str) -> None:
    def make() -> Any:
        return of(urls).compose(every_second).shuffle(5).map(key_of)

    with pytest.warns(ResumeWarning, match="nobody knows what every_second keeps between two items"):
        first, state = taken(make(), 8)
    assert first + rest_of(make(), state) == list(map(plain, make()))


@wds.stateless
def lagging(samples: Iterator[Any]) -> Iterator[Any]:
    held = next(samples)
    for sample in samples:
        yield held
        held = sample
    yield held


def test_one_that_is_said_to_be_stateless_and_holds_back_is_found_out(urls: str) -> None:
    def make() -> Any:
        return of(urls).compose(lagging).map(key_of)

    with pytest.warns(ResumeWarning, match="lagging is said to be stateless, and gave sample '.*' of .* it took sample '.*'"):
        whole = list(map(plain, make()))
    with pytest.warns(ResumeWarning):
        first, state = taken(make(), 8)
    with pytest.warns(ResumeWarning):
        assert first + rest_of(make(), state) == whole


@wds.stateless
def both(samples: Iterator[Any]) -> Iterator[Any]:
    for sample in samples:
        yield sample
        yield sample


def test_one_that_is_said_to_be_stateless_and_gives_two_for_one_is_found_out(urls: str) -> None:
    def make() -> Any:
        return of(urls).compose(both).map(key_of)

    with pytest.warns(ResumeWarning, match="both is said to be stateless, and gave more than one item for one that it took"):
        whole = list(map(plain, make()))
    with pytest.warns(ResumeWarning):
        first, state = taken(make(), 7)
    with pytest.warns(ResumeWarning):
        assert first + rest_of(make(), state) == whole


@pytest.mark.parametrize(("interleave", "in_turn"), [(2, 1), (3, 2)])
def test_shards_of_unequal_sizes_in_turn(tmp_path: Path, interleave: int, in_turn: int) -> None:
    """One that has given its last sample keeps its place until its next turn: others may end before."""
    for number, count in enumerate((4, 1, 0, 2, 5, 3)):
        samples = [{"__key__": f"{number}{n}", "cls": str(n)} for n in range(count)]
        (tmp_path / f"{number}.tar").write_bytes(make_shard(samples))

    def make() -> Any:
        prefetch = wds.Prefetch(interleave=interleave, interleave_samples=in_turn)
        return of(f"{tmp_path}/{{0..5}}.tar", shardshuffle=False, prefetch=prefetch).map(key_of)

    whole = list(map(plain, make()))
    states = taken_on_the_way(make(), list(range(1, len(whole))))
    for first, state in states:
        data = make()
        data.load_state_dict(state)
        second, later = taken(data, 1)
        assert first + second + rest_of(make(), later) == whole


@pytest.mark.filterwarnings("ignore:shuffle holds items of RandomMix:asyncwds.errors.ResumeWarning")
@pytest.mark.parametrize("seed", range(4))
def test_a_mix_that_has_ended_draws_no_other_member(urls: str, seed: int) -> None:
    def make() -> Any:
        mix = wds.RandomMix([of(urls), of(urls, seed=7), of(urls, seed=8)], seed=seed)
        return wds.FluidWrapper(mix, seed=5).shuffle(4, initial=4).map(key_of)

    whole = list(map(plain, make()))
    assert len(whole) < 3 * EPOCH
    first, state = taken(make(), len(whole))
    assert first + rest_of(make(), state) == whole


def test_after_an_error_the_item_that_failed_comes_again(urls: str) -> None:
    broken = [True]

    def fails(sample: Any) -> str:
        if broken[0] and key_of(sample) == "24":
            raise OSError("for now")
        return key_of(sample)

    data = of(urls).shuffle(5).map(fails)
    given = []
    with pytest.raises(OSError, match="for now"):
        given.extend(map(plain, data))
    broken[0] = False
    with pytest.warns(ResumeWarning, match="an error ended it"):
        state = json.loads(json.dumps(data.state_dict()))
    rest = rest_of(of(urls).shuffle(5).map(fails), state)
    assert state["items"] + len(rest) == EPOCH


@pytest.mark.parametrize("held", [0, 12])
def test_behind_a_mix_what_is_fetched_is_what_was_held_and_the_open_shards(held: int) -> None:
    number, samples = 20, 10
    contents = {
        f"m{n}.tar": make_shard([{"__key__": f"{n}-{i}", "bin": b"x" * 60_000} for i in range(samples)]) for n in range(number)
    }

    def make(url: str) -> Any:
        prefetch = wds.Prefetch(part_bytes=65536, connections=1, buffer_bytes=2 * 65536)
        members = [of(url + half, prefetch=prefetch) for half in ("{0..9}.tar", "{10..19}.tar")]
        return wds.FluidWrapper(wds.RoundRobin(members), seed=3).shuffle(held, initial=held).map(key_of)

    with FaultServer(contents) as server:
        cut = int(0.9 * number * samples)
        first, state = taken(make(server.url("m")), cut)
        resumed = make(server.url("m"))
        resumed.load_state_dict(state)
        server.requests.clear()
        before = server.counters.bytes_sent
        items = iter(resumed)
        again = [next(items)]
        sent = server.counters.bytes_sent - before
        items.close()
    names = {request.name for request in server.requests}
    assert len(names) <= held + 4
    assert sent < held * 110_000 + 8 * 65536  # of an epoch of 12 MB
    assert not set(again) & set(first)
