"""Shards that come from an iterator of a user's, read by the engine."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar, copy_context
from itertools import count
from pathlib import Path

import pytest

import asyncwds as wds
from asyncwds import Prefetch
from asyncwds.bridges import Feed
from asyncwds.errors import ShardWarning, SpecError, TruncatedTarError
from asyncwds.pipeline.reading import Drawn
from asyncwds.pipeline.tar_samples import Drawing
from asyncwds.runtime import Counters
from asyncwds.shards import Shard
from asyncwds.storage import MemoryFetcher
from asyncwds.testing import leaks, make_shard

SHARDS, SAMPLES = 6, 5
NUMBER: ContextVar[int] = ContextVar("number", default=0)
OBJECTS = {
    f"m:{shard}": make_shard([{"__key__": f"{shard}{n}", "bin": bytes(600)} for n in range(SAMPLES)]) for shard in range(SHARDS)
}
ALL = [f"{shard}{n}" for shard in range(SHARDS) for n in range(SAMPLES)]


def keys(samples):
    return [sample["__key__"] for sample in samples]


def memory():
    return MemoryFetcher(OBJECTS)


def stage(**options):
    return wds.tarfile_to_samples(fetcher=memory, **options)


@pytest.mark.parametrize("shards", [list(OBJECTS), [{"url": url, "more": 1} for url in OBJECTS], ({"url": url} for url in OBJECTS)])
def test_urls_and_dicts_with_urls(shards):
    with leaks():
        assert keys(stage()(shards)) == ALL


@pytest.mark.parametrize("prefetch", [1, 16, Prefetch(connections=3, part_bytes=1000, interleave=1)])
def test_the_order_is_that_of_the_shards(prefetch):
    urls = [*OBJECTS][::-1] * 3
    expected = [f"{url[2:]}{n}" for url in urls for n in range(SAMPLES)]
    assert keys(stage(prefetch=prefetch)(urls)) == expected


def test_interleaving_and_arrival():
    seen = keys(stage(prefetch=Prefetch(connections=4, interleave=3, interleave_samples=1))(OBJECTS))
    assert seen[:6] == ["00", "10", "20", "01", "11", "21"]
    assert sorted(keys(stage(prefetch=Prefetch(connections=4, order="arrival"))(OBJECTS))) == ALL


def test_no_more_shards_are_drawn_than_can_begin_to_be_read():
    drawn = []

    def endless():
        for number in count():
            drawn.append(number)
            yield f"m:{number % SHARDS}"

    with leaks():
        samples = stage(prefetch=Prefetch(connections=2, part_bytes=10_000, buffer_bytes=100_000))(endless())
        next(samples)
        time.sleep(0.1)
        waiting = len(drawn)
        time.sleep(0.1)
        samples.close()
    assert 1 <= waiting == len(drawn) < 30


def test_an_iterator_that_blocks_holds_nothing_up():
    go_on = threading.Event()

    def slow():
        yield "m:0"
        go_on.wait()
        yield "m:1"

    with leaks():
        samples = stage()(slow())
        first = [next(samples)["__key__"] for _ in range(SAMPLES)]
        assert first == ALL[:SAMPLES]
        go_on.set()
        assert keys(samples) == ALL[SAMPLES : 2 * SAMPLES]


def test_an_iterator_that_blocks_for_ever_can_be_left(monkeypatch):
    monkeypatch.setattr("asyncwds.bridges.async_iterator.EXIT_SECONDS", 0.1)
    go_on = threading.Event()
    closed = threading.Event()

    def stuck():
        try:
            yield "m:0"
            go_on.wait()
            yield "m:1"
        finally:
            closed.set()

    samples = stage()(stuck())
    next(samples)
    samples.close()
    go_on.set()  # only then does the thread end, and closes the generator
    assert closed.wait(5)


def test_a_generator_is_closed_when_its_samples_are():
    closed = []

    def generator():
        try:
            yield from OBJECTS
        finally:
            closed.append(True)

    with leaks():
        samples = stage(prefetch=1)(generator())
        next(samples)
        samples.close()
        assert closed == [True]


def test_nothing_is_begun_before_the_first_sample_is_asked_for():
    with leaks():
        samples = stage()(iter([3]))
        samples.close()
    with leaks(), pytest.raises(SpecError, match="shards to read are urls"):
        list(stage()([3]))


def test_an_error_of_the_iterator_comes_behind_its_shards():
    def failing():
        yield "m:0"
        yield "m:1"
        raise ZeroDivisionError

    seen = []
    with leaks(), pytest.raises(ZeroDivisionError):
        for sample in stage()(failing()):
            seen.append(sample["__key__"])
    assert seen == ALL[: 2 * SAMPLES]


def test_a_system_exit_in_the_iterator_is_no_hang():
    def leaving():
        yield "m:0"
        raise SystemExit(3)

    with leaks(), pytest.raises(SystemExit):
        list(stage()(leaving()))


def test_the_iterator_sees_the_context_of_who_iterates():
    seen = []

    def shards():
        seen.append(NUMBER.get())
        yield "m:0"

    def read():
        NUMBER.set(5)
        assert len(list(stage()(shards()))) == SAMPLES

    copy_context().run(read)
    assert seen == [5]


def test_system_exits_of_several_shards_at_once_leave_nothing(monkeypatch):
    """Each breaks off the engine's loop, also while it cancels what the one before left."""

    def leaving(*_):
        raise SystemExit(3)

    monkeypatch.setitem(wds.gopen_schemes, "mine", leaving)
    dataset = wds.WebDataset([f"mine://{n}" for n in range(8)], shardshuffle=False, prefetch=wds.Prefetch(connections=4))
    with leaks(), pytest.raises(SystemExit):
        list(dataset)


def test_the_handler_decides(tmp_path):
    objects = {**OBJECTS, "m:1": OBJECTS["m:1"][:1500]}

    def damaged(handler):
        return wds.tarfile_to_samples(handler, fetcher=lambda: MemoryFetcher(objects))

    without = [key for key in ALL if key[0] != "1"]
    with leaks():
        assert keys(damaged(wds.ignore_and_continue)(OBJECTS)) == without
        assert keys(damaged(wds.ignore_and_stop)(OBJECTS)) == without[:SAMPLES]
        with pytest.raises(TruncatedTarError, match="m:1"):
            keys(damaged(wds.reraise_exception)(OBJECTS))
    pipeline = wds.DataPipeline([list(OBJECTS)], damaged(wds.ignore_and_continue))
    keys(pipeline)
    assert (pipeline.stats().shards, pipeline.stats().shards_failed) == (SHARDS - 1, 1)


def test_a_local_file_may_be_deleted_when_the_next_one_is_asked_for(tmp_path):
    def one_at_a_time():
        for number, data in enumerate(OBJECTS.values()):
            path = tmp_path / f"{number}.tar"
            path.write_bytes(data * 3)
            assert len(list(tmp_path.iterdir())) == 1
            yield str(path)
            path.unlink()

    with pytest.warns(ShardWarning, match="comes again"):  # each archive is there three times over
        assert len(keys(wds.tarfile_samples(one_at_a_time()))) == SHARDS * SAMPLES * 3
    assert list(tmp_path.iterdir()) == []


def test_equal_keys_of_adjacent_shards_are_kept_apart(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "k", "txt": "x"}]))
    samples = list(wds.tarfile_samples([f"{tmp_path}/a.tar"] * 3))
    assert [(sample["__key__"], sample["txt"]) for sample in samples] == [("k", b"x")] * 3


def test_two_of_them_at_once():
    pairs = zip(stage()(OBJECTS), stage()(OBJECTS), strict=True)
    assert [(one["__key__"], other["__key__"]) for one, other in pairs] == [(key, key) for key in ALL]


# -- what the engine is told


def test_what_is_drawn_while_a_local_file_is_open():
    counters = Counters()
    shards = [Drawn(Shard(url, index), claimed=False) for index, url in enumerate(["s3://a", "/b", "/c", "http://d"])]
    drawing = Drawing(iter(shards), 1, counters, lambda: True)
    assert [next(drawing).url, next(drawing).url] == ["s3://a", "/b"]
    assert next(drawing) is None
    counters.shards += 1
    assert next(drawing) is None
    counters.shards_failed += 1
    assert next(drawing).url == "/c"
    counters.shards += 1
    assert next(drawing).url == "http://d"
    with pytest.raises(StopIteration):
        next(drawing)


def test_lanes_may_be_filled_with_local_files():
    shards = [Drawn(Shard(f"/{index}", index), claimed=False) for index in range(4)]
    drawing = Drawing(iter(shards), 3, Counters(), lambda: True)
    assert [next(drawing).url for _ in range(3)] == ["/0", "/1", "/2"]
    assert next(drawing) is None


def test_a_claimed_shard_is_let_go_when_its_samples_are_used():
    counters, drained, looks = Counters(), [False], []
    drawing = Drawing(iter([Drawn(Shard(f"/{index}", index), claimed=True) for index in range(2)]), 1, counters, lambda: drained[0])
    drawing.look_again = lambda: looks.append(True)
    assert next(drawing).url == "/0"
    assert next(drawing) is None
    assert looks == []
    counters.shards += 1
    assert next(drawing) is None
    assert looks == [True]
    drained[0] = True
    assert next(drawing).url == "/1"


async def test_a_feed_asks_for_an_item_only_when_one_is_wanted():
    asked = []

    def items():
        for number in range(3):
            asked.append(number)
            yield number

    arrived = asyncio.Event()
    feed = Feed(items())
    feed.start(asyncio.get_running_loop(), arrived.set)
    await asyncio.sleep(0.02)
    assert asked == []
    seen = []
    while len(seen) < 3:
        item = next(feed)
        if item is None:
            await arrived.wait()
            arrived.clear()
            continue
        seen.append(item)
        assert asked == seen
    assert next(feed) is None
    await arrived.wait()
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(feed)
    feed.close()


def test_a_feed_that_was_never_started_closes_its_iterator():
    closed = []

    class Items:
        def __iter__(self):
            return self

        def __next__(self):
            raise AssertionError

        def close(self):
            closed.append(True)

    Feed(Items()).close()
    assert closed == [True]


def test_verbose_names_each_shard(tmp_path, capsys):
    path = Path(tmp_path / "a.tar")
    path.write_bytes(OBJECTS["m:0"])
    list(wds.WebDataset(path, verbose=True))
    assert capsys.readouterr().err == f"asyncwds: reading {path}\n"
