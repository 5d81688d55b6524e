"""Pipelines: what they begin with, their stages, seeds and epochs, and how they end."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from copy import copy
from functools import partial

import pytest

import asyncwds as wds
from asyncwds import DataPipeline, FluidWrapper, WorkerInfo
from asyncwds.errors import BridgeError, SpecError
from asyncwds.testing import leaks, make_shard

SHARDS, SAMPLES = 6, 5
ALL = [f"{shard}{n}" for shard in range(SHARDS) for n in range(SAMPLES)]


@pytest.fixture
def shards(tmp_path):
    for shard in range(SHARDS):
        samples = [{"__key__": f"{shard}{n}", "txt": f"text {n}"} for n in range(SAMPLES)]
        (tmp_path / f"s{shard}.tar").write_bytes(make_shard(samples))
    return f"{tmp_path}/s{{0..{SHARDS - 1}}}.tar"


def keys(pipeline):
    return [sample["__key__"] for sample in pipeline]


def ten():
    return iter(range(10))


def doubled(source):
    return (2 * item for item in source)


class Every(wds.PipelineStage):
    def run(self, src):
        return [item for item in src if item % 2]


class ForeignStage:
    """As webdataset's PipelineStage: `run`, and not callable."""

    def run(self, source):
        yield from doubled(source)


@pytest.mark.parametrize("head", [[ten], [[list(range(10))]], [range(10)], [(n for n in range(10))], [DataPipeline(ten)]])
def test_what_a_pipeline_begins_with(head):
    assert list(DataPipeline(*head, doubled)) == list(range(0, 20, 2))


@pytest.mark.parametrize("stage", [doubled, partial(map, lambda item: 2 * item), ForeignStage()])
def test_what_a_stage_is(stage):
    assert list(DataPipeline(ten, stage)) == list(range(0, 20, 2))
    assert list(DataPipeline(ten).compose(stage)) == list(range(0, 20, 2))
    assert list(DataPipeline(ten, Every())) == [1, 3, 5, 7, 9]


@pytest.mark.parametrize(
    "make", [lambda: DataPipeline(ten, 3), lambda: DataPipeline(ten).compose([1]), lambda: DataPipeline(ten).append(None)]
)
def test_what_is_no_stage(make):
    with pytest.raises(SpecError, match="a stage must be callable"):
        make()


@pytest.mark.parametrize(("stages", "message"), [((3,), "a pipeline begins with"), ((), "without stages")])
def test_what_gives_nothing_to_begin_with(stages, message):
    with pytest.raises(SpecError, match=message):
        list(DataPipeline(*stages))


def test_methods_return_new_pipelines_and_append_changes_one():
    pipeline = DataPipeline(ten)
    assert list(pipeline.compose(doubled).repeat(2)) == [*range(0, 20, 2)] * 2
    assert list(pipeline) == list(range(10))
    pipeline.append(doubled)
    assert pipeline.pipeline == [ten, doubled]
    assert pipeline.stage(1) is doubled
    assert list(pipeline) == list(range(0, 20, 2))


def test_the_engine_reads_ahead_in_the_order_of_the_shards_that_are_given(shards):
    with leaks():
        pipeline = DataPipeline(wds.SimpleShardList(shards), wds.tarfile_to_samples())
        assert keys(pipeline) == ALL
        assert pipeline.stats().samples == len(ALL)
        assert pipeline.stats().shards == SHARDS
    assert "__local_path__" not in next(iter(pipeline))


async def test_async_for(shards):
    pipeline = DataPipeline(wds.SimpleShardList(shards), wds.tarfile_to_samples(), wds.shuffle(5), seed=3)
    seen = [sample["__key__"] async for sample in pipeline]
    pipeline.set_epoch(0)
    assert seen == keys(pipeline)
    async with aclosing(aiter(pipeline)) as samples:
        await anext(samples)


# -- seeds and epochs


def test_every_random_stage_follows_the_pipelines_seed_and_the_epoch(shards):
    def epochs(seed):
        pipeline = DataPipeline(
            wds.ResampledShards(shards, 8),
            wds.resampled(5),
            wds.shuffle(5),
            wds.tarfile_to_samples(),
            wds.shuffle(20),
            wds.rsample(0.7),
            seed=seed,
        )
        return [keys(pipeline) for _ in range(3)]

    assert epochs(1) == epochs(1)
    assert len(set(map(tuple, epochs(1)))) == 3
    assert epochs(1) != epochs(2)


def test_the_seed_comes_from_the_environment_if_not_given(monkeypatch):
    monkeypatch.setenv("WDS_SEED", "5")
    assert DataPipeline(ten).seed == 5
    assert DataPipeline(ten, seed=6).seed == 6


def test_the_passes_of_an_iteration_have_other_orders_than_the_iterations_behind_it():
    pipeline = DataPipeline(ten, wds.shuffle(10), seed=1)
    passes = list(pipeline.repeat(3))
    orders = [tuple(passes[start : start + 10]) for start in (0, 10, 20)]
    pipeline.repeat(1).set_epoch(0)
    orders += [tuple(pipeline) for _ in range(4)]
    assert orders[0] == orders[3]  # epoch 0
    assert len(set(orders)) == 6


@pytest.mark.parametrize("bounded", [lambda p: p.with_epoch(8), lambda p: p.repeat(2), lambda p: p.with_length(3)])
def test_a_pipeline_that_is_bounded_anew_for_each_epoch_has_other_orders(bounded):
    pipeline = DataPipeline(ten, wds.shuffle(10), seed=1)
    orders = [tuple(bounded(pipeline)) for _ in range(3)]
    assert len(set(orders)) == 3
    bounded(pipeline).set_epoch(1)
    assert tuple(bounded(pipeline)) == orders[1]


def test_bounds_change_the_pipeline_itself_as_webdatasets_do():
    """People's code drops what these return."""
    pipeline = DataPipeline(ten)
    running = iter(pipeline)
    for change, expected in [
        (lambda: pipeline.with_epoch(13), [*range(10), 0, 1, 2]),
        (lambda: pipeline.repeat(2), [*range(10)] * 2),
        (lambda: pipeline.repeat(nbatches=3), [0, 1, 2]),
        (lambda: pipeline.with_epoch(4).with_length(7), [0, 1, 2, 3]),
    ]:
        assert change() is pipeline
        assert list(pipeline) == expected
    assert len(pipeline) == 7
    assert list(running) == [*range(10)]  # what has begun goes on as it was
    longer = pipeline.compose(lambda items: (2 * item for item in items))
    longer.repeat(1)
    assert (list(longer), list(pipeline)) == ([*range(0, 20, 2)], [0, 1, 2, 3])


def test_one_with_more_stages_counts_for_itself():
    pipeline = DataPipeline(ten, wds.shuffle(10), seed=1)
    assert [list(pipeline.compose(list)) for _ in range(2)] == [list(pipeline)] * 2


def test_a_shuffle_before_the_splitters_is_the_same_everywhere(shards, monkeypatch):
    seen = []
    for worker in range(3):
        monkeypatch.setenv("WORKER", str(worker))
        monkeypatch.setenv("NUM_WORKERS", "3")
        pipeline = DataPipeline(
            wds.SimpleShardList(shards), wds.shuffle(100), wds.split_by_worker, wds.tarfile_to_samples(), seed=1
        )
        seen += keys(pipeline)
    assert sorted(seen) == ALL
    behind = []
    for worker in range(2):
        monkeypatch.setenv("WORKER", str(worker))
        behind.append(list(DataPipeline(ten, wds.shuffle(10), seed=1)))
    assert behind[0] != behind[1]


def test_a_stage_may_take_the_place(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")

    def placed(source, *, place):
        return ((item, place.rank) for item in source)

    assert list(DataPipeline([[5]], placed)) == [(5, 1)]
    assert list(DataPipeline([[5]], partial(placed, place=WorkerInfo(7, 9)))) == [(5, 7)]


class Epochs:
    """A dataset of a user's that is told its epoch."""

    def __init__(self):
        self.epoch = None

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter([self.epoch])


def test_set_epoch_is_passed_on():
    class Loader(list):
        dataset = Epochs()

    direct, loader = Epochs(), Loader([1])
    pipeline, loaded = FluidWrapper(direct), FluidWrapper(loader)
    pipeline.set_epoch(4)
    loaded.set_epoch(5)
    assert list(pipeline) == [4]
    assert Loader.dataset.epoch == 5
    inner = DataPipeline(ten, wds.shuffle(10), seed=1)
    outer = FluidWrapper(inner)
    first, second = list(outer), list(outer)
    assert first != second
    outer.set_epoch(0)
    assert [list(outer), list(outer)] == [first, second]
    FluidWrapper([]).set_epoch(3)
    DataPipeline().set_epoch(3)


# -- closing


def test_close_ends_what_runs_and_closes_stages(shards):
    closed = []

    class Stage:
        def __call__(self, source):
            return source

        def close(self):
            closed.append(self)

    stage = Stage()
    with leaks(), DataPipeline(wds.SimpleShardList(shards), wds.tarfile_to_samples(), stage) as pipeline:
        running = iter(pipeline)
        next(running)
        other = iter(pipeline)
        pipeline.close()
        assert list(running) == list(other) == []
        assert closed == [stage]
        assert keys(pipeline) == ALL
    assert closed == [stage, stage]


def test_an_iterator_that_is_dropped_closes_everything(shards):
    with leaks():
        iterator = iter(DataPipeline(wds.SimpleShardList([shards] * 20), wds.tarfile_to_samples(), wds.shuffle(3)))
        next(iterator)
        del iterator
        iter(DataPipeline(wds.SimpleShardList(shards), wds.tarfile_to_samples()))


def test_an_iteration_can_be_interrupted():
    pipeline = DataPipeline(wds.SimpleShardList("pipe:sleep 60"), wds.tarfile_to_samples())
    with leaks():
        iterator = iter(pipeline)
        interrupting = threading.Timer(0.2, iterator.interrupt)
        interrupting.start()
        with pytest.raises(BridgeError):
            next(iterator)
        interrupting.join()


async def test_an_async_for_that_is_left_interrupts_a_pipeline_in_a_pipeline(shards):
    waiting = DataPipeline(wds.SimpleShardList([*wds.expand_urls(shards), "pipe:sleep 60"]), wds.tarfile_to_samples())
    began = time.monotonic()
    async with aclosing(aiter(FluidWrapper(waiting).compose(iter))) as samples:
        for _ in ALL:
            await anext(samples)
    assert time.monotonic() - began < 50


def test_a_pipeline_can_be_pickled_and_printed(shards):
    pipeline = DataPipeline(
        wds.SimpleShardList(shards, seed=3), wds.split_by_worker, wds.tarfile_to_samples(), wds.shuffle(10), seed=4
    )
    keys(pipeline)
    running = iter(pipeline)
    other = pickle.loads(pickle.dumps(pipeline))
    running.close()
    pipeline.set_epoch(0)
    other.set_epoch(0)
    assert keys(other) == keys(pipeline)
    assert repr(pipeline).startswith("DataPipeline(SimpleShardList(")
    assert repr(DataPipeline()).startswith("DataPipeline(")


def test_web_loader_without_torch_says_what_to_install():
    program = "import sys; sys.modules['torch'] = None; import asyncwds as wds; wds.WebLoader([1])"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert "asyncwds[torch]" in done.stderr.splitlines()[-1]


def test_a_copy_is_another_pipeline():
    pipeline = DataPipeline(ten, wds.shuffle(10), seed=1)
    other = copy(pipeline).with_epoch(3)
    assert [len(list(one)) for one in (pipeline, other, pipeline)] == [10, 3, 10]
    pipeline.set_epoch(0)
    other.set_epoch(0)
    first = list(pipeline)
    assert (list(other), list(pipeline) == first) == (first[:3], False)


def test_changes_of_the_list_count_for_iterations_that_begin_later():
    pipeline = DataPipeline(ten, doubled).with_epoch(4)
    running = iter(pipeline)
    assert next(running) == 0
    pipeline.pipeline[0] = [5]
    pipeline.pipeline.append(doubled)
    assert list(running) == [2, 4, 6]
    assert list(pipeline) == [20] * 4
    assert list(pickle.loads(pickle.dumps(pipeline))) == [20] * 4
    pipeline.pipeline.append(5)
    with pytest.raises(SpecError, match="a stage must be callable"):
        iter(pipeline)
    pipeline.pipeline.clear()
    with pytest.raises(SpecError, match="without stages"):
        iter(pipeline)
