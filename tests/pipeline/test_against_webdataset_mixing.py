"""Random stages, mixes, repetition and caches of samples do what WebDataset's do, draw for draw."""

from __future__ import annotations

import random
from random import Random
from typing import Any

import pytest
import webdataset

import asyncwds as wds
from asyncwds import WorkerInfo
from asyncwds.pipeline import RunContext, run_alone
from asyncwds.runtime import make_seed

SAMPLES = [{"__key__": "k1", "a": 1, "n": None}, {"__key__": "k0", "a": (2, b"x")}, {"__key__": "k0", "a": 3}]


# -- by chance


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("p", [0, 0.1, 0.5, 0.99, 1])
def test_rsample(p: float, seed: int) -> None:
    random.seed(seed)
    theirs = list(webdataset.rsample(p)(iter(range(300))))
    assert list(wds.rsample(p, seed=seed)(range(300))) == theirs
    assert list(run_alone(wds.rsample(p, seed=seed), range(300), RunContext(99, 0, WorkerInfo(1, 2)))) == theirs
    random.seed(seed)
    assert list(wds.rsample(p)(range(300))) == theirs


@pytest.mark.parametrize("seed", [0, 17])
@pytest.mark.parametrize("size", [1, 10, 1000, False, True])
def test_detshuffle(size: int, seed: int) -> None:
    ours, theirs = (module.detshuffle(size, initial=10, seed=seed) for module in (wds, webdataset))
    for epoch in range(3):
        expected = list(theirs.run(iter(range(200))))
        assert list(run_alone(wds.detshuffle(size, 10, seed), range(200), RunContext(99, epoch, WorkerInfo(1, 2)))) == expected
        assert list(ours.run(iter(range(200)))) == expected
        assert ours.epoch == theirs.epoch == epoch


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("arguments", [(), (1,), (True,), (50, False), (5,), (50, 5), (50, 500), (2000,)])
def test_shuffle_as_a_stage(arguments: tuple[int, ...], seed: int) -> None:
    theirs = list(webdataset.shuffle(*arguments, seed=seed)(iter(range(500))))
    assert list(wds.shuffle(*arguments, seed=seed)(iter(range(500)))) == theirs
    stage = wds.shuffle(*arguments, seed=seed, handler=wds.warn_and_stop)
    assert list(run_alone(stage, range(500), RunContext(9, 0, WorkerInfo(1, 2)))) == theirs
    assert list(wds.shuffle(*arguments, rng=Random(seed))(iter(range(500)))) == theirs


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("longest", [True, False])
@pytest.mark.parametrize("probs", [None, [1, 1, 1], [0.1, 0.1, 0.1], [5, 1, 0.3], [0, 1, 1], (1e-3, 1e3, 1)])
def test_random_mix(probs: Any, longest: bool, seed: int) -> None:
    members = [list(range(start, start + length)) for start, length in ((0, 30), (1000, 50), (2000, 9))]
    random.seed(seed)
    without_zeros = slice(1, None) if probs and 0 in probs and longest else slice(None)  # they divide by zero in the end
    theirs = list(webdataset.RandomMix(members[without_zeros], probs and probs[without_zeros], longest))
    assert list(wds.RandomMix(members, probs, longest, seed=seed)) == theirs
    random.seed(seed)
    assert list(wds.mix.random_samples([iter(member) for member in members], probs, longest)) == theirs


@pytest.mark.parametrize("longest", [True, False])
@pytest.mark.parametrize("lengths", [(3,), (2, 2), (1, 3, 2), (3, 1, 2), (0, 2), (2, 0), (4, 1, 1, 3), (5, 5, 4)])
def test_round_robin(lengths: tuple[int, ...], longest: bool) -> None:
    members = [[f"{number}{index}" for index in range(length)] for number, length in enumerate(lengths)]
    theirs = list(webdataset.RoundRobin(members, longest))
    assert list(wds.RoundRobin(members, longest)) == theirs
    robin = wds.mix.round_robin_longest if longest else wds.mix.round_robin_shortest
    assert list(robin(*map(iter, members))) == theirs


@pytest.mark.parametrize("parts", [(), (1,), (1, 2, 3), (-5, 2**40), (0.5, 7), (True, 3), (2**61, 2**62)])
def test_seeds_of_numbers(parts: tuple[Any, ...]) -> None:
    assert make_seed(*parts) == webdataset.utils.make_seed(*parts)


# -- again and again


@pytest.mark.parametrize(
    "options",
    [
        *[{"nepochs": 1}, {"nepochs": 3}, {"nbatches": 1}, {"nbatches": 3}, {"nbatches": 10}, {"nsamples": 1}, {"nsamples": 11}],
        *[{"nepochs": 2, "nbatches": 5}, {"nepochs": 2, "nsamples": 7}, {"nbatches": 2, "nsamples": 100}],
    ],
)
def test_repeatedly(options: dict[str, Any]) -> None:
    batches = [([1, 2], "ab"), ([3], "c"), ([4, 5, 6], "def")]
    assert list(wds.repeatedly(batches, **options)) == list(webdataset.repeatedly(batches, **options))


@pytest.mark.parametrize("options", [{"nepochs": 1}, {"nepochs": 2}, {"nepochs": 2, "nbatches": 3}, {"nepochs": 2, "nbatches": 99}])
def test_repeatedly0(options: dict[str, Any]) -> None:
    theirs = list(webdataset.utils.repeatedly0(range(5), **options))
    assert list(wds.utils.repeatedly0(range(5), **options)) == theirs


def test_mock_datasets() -> None:
    for length in (0, 3):
        assert list(wds.MockDataset({"a": 1}, length)) == list(webdataset.MockDataset({"a": 1}, length))


# -- caches


@pytest.mark.parametrize("lengths", [(3, 5), (0, 5), (5, 0)])
def test_the_second_pass_comes_from_memory(lengths: tuple[int, ...]) -> None:
    passes = []
    for module in (wds, webdataset):
        cached = module.Cached()
        passes.append([list(cached.run(iter(range(length)))) for length in lengths])
    assert passes[0] == passes[1]


@pytest.mark.needs("lmdb")
@pytest.mark.parametrize("chunksize", [1, 2, 500])
def test_lmdb_caches_of_theirs_are_read(chunksize: int, tmp_path: Any) -> None:
    theirs = webdataset.LMDBCached(str(tmp_path / "cache"), map_size=1e8, chunksize=chunksize)
    assert list(theirs.run(iter(SAMPLES))) == SAMPLES
    kept = list(theirs.run(iter([])))  # in the order of the keys, and of samples with one key the last
    theirs.db.close()
    ours = wds.LMDBCached(str(tmp_path / "cache"), map_size=1e8, chunksize=chunksize)
    assert ours.is_complete()
    assert list(ours.run(iter([]))) == kept == [SAMPLES[2], SAMPLES[0]]


@pytest.mark.needs("lmdb")
def test_lmdb_caches_of_ours_are_read_by_theirs(tmp_path: Any) -> None:
    assert list(wds.LMDBCached(tmp_path / "cache").run(iter(SAMPLES))) == SAMPLES
    theirs = webdataset.LMDBCached(str(tmp_path / "cache"), map_size=1e8)
    assert theirs.is_complete()
    assert list(theirs.run(iter([]))) == SAMPLES
    theirs.db.close()
