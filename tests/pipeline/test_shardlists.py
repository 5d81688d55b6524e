from __future__ import annotations

import os
from collections import Counter
from itertools import islice
from random import Random

import pytest

from asyncwds import (
    ResampledShardList,
    ResampledShards,
    SimpleShardList,
    WorkerInfo,
    check_empty,
    expand_source,
    expand_urls,
    non_empty,
    resampled,
    single_node_only,
    split_by_node,
    split_by_worker,
)
from asyncwds.errors import SpecError
from asyncwds.pipeline import RunContext, run_alone

PLACE = WorkerInfo()
URLS = [f"s{number}.tar" for number in range(10)]


def urls(items):
    return [item["url"] for item in items]


@pytest.fixture
def rank_one_of_two(monkeypatch):
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "WORKER": 1, "NUM_WORKERS": 3}.items():
        monkeypatch.setenv(name, str(value))
    return WorkerInfo(1, 2, 1, 3)


# -- SimpleShardList


@pytest.mark.parametrize(
    "source", ["s{0..9}.tar", URLS, ["s{0..4}.tar", "s{5..9}.tar"], (url for url in URLS), "s{0..3}.tar::s{4..9}.tar"]
)
def test_a_list_of_shards(source):
    shards = SimpleShardList(source)
    assert len(shards) == 10
    assert urls(shards) == urls(shards) == URLS
    assert "s0.tar" in repr(shards)


def test_a_seed_shuffles_and_each_epoch_has_another_order():
    shards = SimpleShardList(URLS, seed=17)
    first = urls(shards)
    assert first == urls(shards)
    assert sorted(first) == URLS
    assert urls(shards.bound(99, 0, WorkerInfo())) == first
    assert urls(shards.bound(99, 1, WorkerInfo(1, 2))) != first
    shards.set_epoch(1)
    assert urls(shards) == urls(SimpleShardList(URLS, seed=17).bound(0, 1, WorkerInfo()))


def test_a_seed_from_the_clock():
    assert len({tuple(urls(SimpleShardList(URLS, seed=True))) for _ in range(5)}) > 1
    assert urls(SimpleShardList(URLS, seed=False)) == URLS
    with pytest.raises(SpecError, match="must be a whole number"):
        SimpleShardList(URLS, seed="x")


@pytest.mark.parametrize("source", [[], "", 3, ["a", 3]])
def test_urls_that_make_no_sense(source):
    with pytest.raises(SpecError):
        SimpleShardList(source)


# -- ResampledShards


def test_resampling_draws_with_replacement_without_end():
    drawn = Counter(urls(islice(ResampledShards(URLS), 2000)))
    assert set(drawn) == set(URLS)
    assert min(drawn.values()) > 100
    assert len(list(ResampledShards(URLS, nshards=7))) == 7


def test_in_a_pipeline_the_draws_follow_seed_epoch_and_place():
    def drawn(seed=1, epoch=0, place=PLACE):
        return tuple(urls(ResampledShards(URLS, 20).bound(seed, epoch, place)))

    assert drawn() == drawn()
    assert len({drawn(), drawn(seed=2), drawn(epoch=1), drawn(place=WorkerInfo(1, 2)), drawn(place=WorkerInfo(0, 1, 1, 2))}) == 5


def test_deterministic_draws(rank_one_of_two):
    def shards(**options):
        return ResampledShards(URLS, 20, seed=3, deterministic=True, **options)

    first = shards()
    epochs = [urls(first) for _ in range(3)]
    assert epochs == [urls(shards().bound(9, epoch, rank_one_of_two)) for epoch in range(3)]
    assert len(set(map(tuple, epochs))) == 3
    assert first.epoch == 2
    first.set_epoch(1)
    assert urls(first) == epochs[1]
    assert urls(shards(worker_seed=lambda: 1001)) == epochs[0]
    assert urls(shards(worker_seed=lambda: 5)) != epochs[0]


def test_the_seed_is_shown_on_request(monkeypatch, capsys):
    monkeypatch.setenv("WDS_SHOW_SEED", "1")
    list(ResampledShardList(URLS, 1, seed=3, deterministic=True))
    assert capsys.readouterr().err == "# ResampledShards seed 3\n"


def test_nothing_to_draw_from():
    with pytest.raises(SpecError, match="no shards to draw from"):
        ResampledShards([])
    assert list(ResampledShards([], empty_check=False)) == []


# -- resampled, non_empty, check_empty


def test_the_stage_resampled():
    assert len(list(resampled(7)("abc"))) == 7
    assert list(islice(resampled(seed=3)("abc"), 9)) == list(islice(resampled(rng=Random(3))("abc"), 9))
    bound = [list(islice(run_alone(resampled(), range(100), RunContext(1, epoch)), 9)) for epoch in (0, 1, 0)]
    assert bound[0] == bound[2] != bound[1]
    seeded = [list(islice(run_alone(resampled(seed=1), range(100), RunContext(5, epoch)), 9)) for epoch in (0, 1)]
    assert seeded[0] == list(islice(resampled(seed=1)(range(100)), 9)) != seeded[1]
    own = run_alone(resampled(rng=Random(4)), range(100), RunContext(1, 1))
    assert list(islice(own, 9)) == list(islice(resampled(seed=4)(range(100)), 9))
    assert list(resampled()([])) == []


@pytest.mark.parametrize("stage", [non_empty, check_empty])
def test_stages_that_must_not_be_empty(stage):
    assert list(stage(iter([0, None]))) == [0, None]
    with pytest.raises(ValueError, match="no"):
        list(stage(iter([])))


# -- expanding


def test_expand_source():
    assert expand_source("a{1..3}") == expand_source(["a{1..2}", "a3"]) == expand_source(iter(["a1", "a2", "a3", "a4"]), 3)
    assert expand_source(["a1", "a2"], 1) == ["a1", "a2"]
    with pytest.raises(SpecError, match="must be a string"):
        expand_source(3)


def test_variables_within_variables(monkeypatch):
    monkeypatch.setenv("WDS_A", "${B}/x")
    monkeypatch.setenv("WDS_B", "s3://bucket")
    assert expand_urls("${A}-{0..1}.tar") == ["s3://bucket/x-0.tar", "s3://bucket/x-1.tar"]
    monkeypatch.setenv("WDS_B", "${A}")
    assert len(expand_urls("${A}")) == 1  # it ends


# -- splitters, called by themselves


def test_splitters_find_the_place_themselves(rank_one_of_two):
    assert list(split_by_node(range(7))) == [1, 3, 5]
    assert list(split_by_worker(range(7))) == [1, 4]
    assert list(split_by_node(range(7), place=WorkerInfo())) == list(range(7))
    with pytest.raises(ValueError, match="nodesplitter=split_by_node"):
        list(single_node_only(range(7)))
    assert list(single_node_only(range(7), place=WorkerInfo(0, 1))) == list(range(7))


def test_a_process_group_tells_rank_and_size(rank_one_of_two):
    class Group:
        def rank(self):
            return 2

        def size(self):
            return 4

    assert list(split_by_node(range(9), Group())) == [2, 6]
    assert list(split_by_node(range(9), Group(), place=WorkerInfo())) == [2, 6]
    with pytest.raises(ValueError, match="4 nodes"):
        list(single_node_only(range(9), Group()))
    assert os.environ["RANK"] == "1"
