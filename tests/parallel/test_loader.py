"""`loader`: the same batches as in one process, in shared memory, and nothing left of it."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import time
from contextlib import aclosing, closing

import numpy as np
import pytest
from shared_memory import left_since, shared_files

import asyncwds as wds
from asyncwds.errors import BridgeError, NotFoundError, SharedMemoryError, SpecError, WorkerDiedError
from asyncwds.parallel import INSTEAD, Ring, require_room
from asyncwds.testing import make_shard

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12+ warns of forking with threads

SHARDS, SAMPLES = 4, 10


@pytest.fixture
def urls(tmp_path):
    for number in range(SHARDS):
        samples = [{"__key__": f"{number}-{n}", "bin": bytes([number, n]) * 500, "cls": str(n)} for n in range(SAMPLES)]
        (tmp_path / f"{number}.tar").write_bytes(make_shard(samples))
    return f"{tmp_path}/{{0..{SHARDS - 1}}}.tar"


def to_array(data):
    return np.frombuffer(data, np.uint8).reshape(2, -1).T  # neither contiguous nor writable


def dataset(urls, **options):
    return wds.WebDataset(urls, seed=3, **options).shuffle(20).map_dict(bin=to_array, cls=int).batched(4)


def shown(batch):
    return (batch["__key__"], batch["bin"].tolist(), batch["cls"].tolist(), batch["bin"].dtype.str)


def forked(data, *args, **options):
    return wds.loader(data, *args, start_method="fork", **options)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_batches_epochs_and_statistics_are_those_of_the_dataset(urls, method):
    alone = dataset(urls, shardshuffle=10)
    epochs = [[shown(batch) for batch in alone] for _ in range(2)]
    assert epochs[0] != epochs[1]
    ours = dataset(urls, shardshuffle=10)
    with wds.loader(ours, start_method=method) as loader:
        assert [[shown(batch) for batch in loader] for _ in range(2)] == epochs
        loader.set_epoch(0)
        assert [shown(batch) for batch in loader] == epochs[0]
        assert (loader.stats().samples, loader.stats().shards, loader.stats().workers) == (SHARDS * SAMPLES, SHARDS, 1)
        assert ours.stats() == loader.stats()


def test_processes_share_out_shards_and_are_asked_in_turn(urls):
    keys = wds.WebDataset(urls, shardshuffle=False).map(dict).listed(5)
    with forked(keys, processes=2) as loader:
        first = [[sample["__key__"] for sample in batch] for batch in loader]
    shards = [batch[0].split("-")[0] for batch in first]
    assert shards == ["0", "1", "0", "1", "2", "3", "2", "3"]
    assert sorted(key for batch in first for key in batch) == sorted(f"{s}-{n}" for s in range(SHARDS) for n in range(SAMPLES))
    with forked(keys, processes=3, in_order=False) as loader:
        assert sum(len(batch) for batch in loader) == SHARDS * SAMPLES
    assert keys.stats().workers == 3


class Fields:
    """Batches of many kinds of values, in all nestings; each is another size."""

    def __init__(self, batches=3):
        self.batches = batches

    def __iter__(self):
        for number in range(self.batches):
            image = np.arange(24 * (number + 1), dtype=np.float32).reshape(2, 3, 4, -1)
            yield {
                "chw": image.transpose(0, 3, 1, 2),
                "fortran": np.asfortranarray(image),
                "strided": image[:, ::2],
                "scalar": np.float64(number),
                "empty": np.zeros((0, 3), np.int16),
                "text": np.array(["a", "bcd"]),
                "objects": np.array([None, {"a": 1}], dtype=object),
                "rest": ([number, b"bytes" * 1000, "ü"], {"nested": (image[0], None)}),
            }


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tolist() == other.tolist()
    else:
        assert one == other


@pytest.mark.parametrize("folder", [None, "folder"])
def test_values_of_all_kinds_cross_and_slots_grow(folder, tmp_path):
    before = shared_files()
    with forked(Fields(20), shared_memory=tmp_path if folder else None) as loader:
        for _ in range(2):
            for mine, theirs in zip(loader, Fields(20), strict=True):
                assert_same(mine, theirs)
        assert list(tmp_path.iterdir()) == []
        assert left_since(before) == set()
        assert mine["chw"].strides == theirs["chw"].strides
        assert mine["chw"].ctypes.data % 64 == 0


class Numbers:
    def __init__(self, batches, size=1000):
        self.batches, self.size = batches, size

    def __iter__(self):
        for number in range(self.batches):
            yield np.full(self.size, number), number

    def __len__(self):
        return self.batches


def test_arrays_are_valid_for_as_long_as_they_are_kept():
    with forked(Numbers(50)) as loader:
        assert len(loader) == 50
        kept = list(loader)  # more than there are slots
        parts = [array[10:20] for array, _ in loader]
    del loader
    gc.collect()
    assert [(array.min(), array.max()) for array, _ in kept] == [(number, number) for number in range(50)]
    assert [part.tolist() for part in parts] == [[number] * 10 for number in range(50)]
    kept[0][0][:] = -1  # they may be written to
    assert kept[1][0].min() == 1


def test_slots_are_used_again():
    with forked(Numbers(100)) as loader:
        addresses = {array.ctypes.data for array, _ in loader}
    assert len(addresses) <= 2 + 4 + 1  # prefetch, those kept, and the one being written


def test_an_iteration_that_is_left_early_does_not_disturb_the_next():
    with forked(Numbers(20), prefetch=3) as loader:
        for left_after in (1, 7, 20):
            numbers = []
            with closing(iter(loader)) as batches:
                for _, number in batches:
                    numbers.append(number)
                    if len(numbers) == left_after:
                        break
            assert numbers == list(range(left_after))
        older = iter(loader)
        next(older)
        assert [number for _, number in loader] == list(range(20))
        with pytest.raises(BridgeError, match="one at a time"):
            next(older)


def test_processes_stay_or_are_started_anew():
    class Pids:
        def __iter__(self):
            yield os.getpid()

    for stay in (True, False):
        with forked(Pids(), persistent_workers=stay) as loader:
            (first,), (second,) = list(loader), list(loader)
            assert (first == second) is stay
            assert first != os.getpid()


def test_processes_that_are_started_before_the_first_iteration(urls):
    alone, ours = dataset(urls, shardshuffle=10), dataset(urls, shardshuffle=10)
    before = set(multiprocessing.active_children())
    with forked(ours).start() as loader:
        started = set(multiprocessing.active_children())
        assert len(started - before) == 1
        for data in (alone, loader):
            data.set_epoch(3)
        batches = [shown(batch) for batch in alone]
        assert [shown(batch) for batch in loader.start()] == batches
        assert set(multiprocessing.active_children()) == started
        with closing(iter(loader)) as iterator:
            next(iterator)
            state = loader.state_dict()
            rest = [shown(batch) for batch in iterator]
        loader.load_state_dict(state)
        assert [shown(batch) for batch in loader.start()] == rest


async def test_async_for():
    with forked(Numbers(20)) as loader:
        assert [number async for _, number in loader] == list(range(20))
        async with aclosing(aiter(loader)) as batches:
            assert [number async for _, number in batches] == list(range(20))


async def test_an_async_for_that_waits_can_be_cancelled():
    with forked(Sleeper()) as loader:

        async def consume():
            async for _ in loader:
                pass

        task = asyncio.create_task(consume())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class Sleeper:
    def __iter__(self):
        yield 1
        time.sleep(60)


def test_a_loader_is_closed_and_dropped_while_its_process_is_busy():
    loader = forked(Sleeper())
    batches = iter(loader)
    next(batches)
    pid = loader._group._workers[0].process.pid
    del loader, batches
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# -- errors


def fail(sample):
    if sample["__key__"] == "1-3":
        raise KeyError("label")
    return sample


def test_an_error_comes_as_it_is_with_its_traceback(urls):
    with wds.loader(wds.WebDataset(urls, shardshuffle=False).map(fail)) as loader:
        with pytest.raises(KeyError, match="label") as caught:
            list(loader)
        assert "in fail" in str(caught.value.__cause__)
        assert "sample '1-3' of" in caught.value.__notes__[0]
        with pytest.raises(KeyError):  # the process lives
            list(loader)


def test_a_typed_error_keeps_what_it_knows(tmp_path):
    with forked(wds.WebDataset([str(tmp_path / "missing.tar")])) as loader, pytest.raises(NotFoundError) as caught:
        list(loader)
    assert caught.value.url == str(tmp_path / "missing.tar")


class Failing:
    def __init__(self, how):
        self.how = how

    def __iter__(self):
        yield np.zeros(3)
        self.how()
        yield np.zeros(3)


class UnpicklableError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def raise_unpicklable():
    raise UnpicklableError("a", "b")


def raise_broken_pipe():
    raise BrokenPipeError("of the user's own")


def kill(number):
    faulthandler.disable()
    os.kill(os.getpid(), number)
    time.sleep(60)


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        (raise_unpicklable, BridgeError, "UnpicklableError: a b"),
        (raise_broken_pipe, BrokenPipeError, "of the user's own"),
        (lambda: kill(signal.SIGKILL), WorkerDiedError, r"loader process 0 \(pid \d+\) was killed by SIGKILL, .* memory runs out"),
        (lambda: kill(signal.SIGSEGV), WorkerDiedError, "was killed by SIGSEGV, a crash in native code"),
        (lambda: kill(signal.SIGRTMIN + 3), WorkerDiedError, "was killed by signal"),
        (lambda: sys.exit(3), WorkerDiedError, "ended with exit code 3, by sys.exit or os._exit"),
        (lambda: os._exit(0), WorkerDiedError, "ended with exit code 0"),
    ],
)
def test_how_a_process_fails(how, error, text):
    with forked(Failing(how)) as loader, pytest.raises(error, match=text):
        list(loader)


def test_a_process_that_dies_while_another_one_is_slow_is_an_error_at_once():
    class Slow:
        def __iter__(self):
            if os.environ["WORKER"] == "1":
                kill(signal.SIGKILL)
            time.sleep(60)
            yield 1

    with forked(Slow(), processes=2) as loader, pytest.raises(WorkerDiedError, match="loader process 1") as caught:
        list(loader)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.exitcode, again.pid, str(again)) == (-signal.SIGKILL, caught.value.pid, str(caught.value))


def test_after_a_death_the_next_iteration_has_new_processes(tmp_path):
    def once():
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            kill(signal.SIGKILL)

    with forked(Failing(once)) as loader:
        with pytest.raises(WorkerDiedError):
            list(loader)
        assert len(list(loader)) == 2


def test_what_cannot_be_pickled_is_explained(urls):
    with (
        wds.loader(wds.WebDataset(urls).map(lambda sample: sample)) as loader,
        pytest.raises(SpecError, match="start_method='fork'"),
    ):
        iter(loader)


def test_a_forked_copy_of_a_loader_starts_its_own_processes():
    with forked(Numbers(5)) as loader:
        batches = iter(loader)
        next(batches)
        child = os.fork()
        if not child:
            try:
                with pytest.raises(BridgeError, match="another process"):
                    next(batches)
                done = [number for _, number in loader] == list(range(5))
                loader.close()
            finally:
                os._exit(0 if done else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert [number for _, number in batches] == [1, 2, 3, 4]


# -- room


def test_a_limit_of_file_sizes_is_named():
    resource = pytest.importorskip("resource")

    def initialize(_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))

    with forked(Numbers(3, 1 << 20), worker_init_fn=initialize) as loader, pytest.raises(SharedMemoryError, match="ulimit -f"):
        list(loader)


def test_a_folder_that_is_too_small_is_named_with_figures():
    with pytest.raises(
        SharedMemoryError, match=r"7 batches of 10.0 MB in 2 processes need 140.0 MB of shared memory, and"
    ) as caught:
        require_room("/dev/shm", 10_000_000, Ring("/dev/shm", 7, 2), 64 << 20)
    assert "/dev/shm has 67.1 MB left: give it more (docker run --shm-size=8g" in str(caught.value)
    require_room("/dev/shm", 10_000_000, Ring("/dev/shm", 7, 2), 140_000_000)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with forked(Numbers(3), shared_memory=tmp_path / "none") as loader, pytest.raises(SharedMemoryError, match="No such file"):
        list(loader)


# -- arguments


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"num_workers": 2}, "processes=2"),
        ({"num_workers": 2, "prefetch_factor": 4}, "processes=2, prefetch=4"),
        ({"num_workers": 2, "prefetch_factor": None, "batch_size": None, "shuffle": False}, "processes=2"),
        ({"multiprocessing_context": "fork", "timeout": 0, "drop_last": False}, "start_method='fork'"),
        ({"persistent_workers": False, "pin_memory": False}, "persistent_workers=False, pin_memory=False"),
        ({"collate_fn": None, "sampler": None, "batch_sampler": None, "generator": None, "pin_memory_device": ""}, ""),
    ],
)
def test_arguments_of_a_dataloader_that_are_understood(given, shown):
    assert repr(wds.loader([1], **given)) == f"loader([1]{', ' * bool(shown)}{shown})"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 32}, "dataset.batched"),
        ({"shuffle": True}, "dataset.shuffle"),
        ({"drop_last": True}, "partial=False"),
        ({"collate_fn": len}, "collation_fn="),
        ({"sampler": [1]}, "nodesplitter="),
        ({"batch_sampler": [1]}, "dataset.batched"),
        ({"timeout": 5}, "stall_timeout="),
        ({"generator": object()}, "seed="),
        ({"pin_memory_device": "cuda"}, "for all devices"),
        ({"num_workers": 0}, "for batch in dataset"),
        ({"num_workers": 2, "processes": 2}, "given twice"),
        ({"num_worker": 2}, "no argument 'num_worker'"),
        ({"processes": 0}, "processes must be a whole number of at least 1"),
        ({"prefetch": 0}, "prefetch must be a whole number of at least 1"),
        ({"num_workers": True}, "processes must be a whole number"),
        ({"start_method": "thread"}, "start_method must be"),
        ({"in_order": "no"}, "in_order must be"),
        ({"worker_init_fn": 3}, "worker_init_fn must be"),
        ({"shared_memory": 3}, "shared_memory must be"),
    ],
)
def test_arguments_that_are_refused(given, said):
    with pytest.raises(SpecError, match=said):
        wds.loader([1], **given)


def test_every_argument_with_something_in_its_place_is_tried():
    (table,) = [mark.args[1] for mark in test_arguments_that_are_refused.pytestmark]
    assert set(INSTEAD) <= {name for given, _ in table for name in given}


def test_what_is_no_dataset_is_refused():
    with pytest.raises(SpecError, match="can be iterated over"):
        wds.loader(3)
    with pytest.raises(TypeError):
        len(wds.loader(iter([])))
    with pytest.raises(SpecError, match="has no set_epoch"):
        wds.loader([1]).set_epoch(3)


def test_a_pickle_of_a_loader_has_no_processes():
    with forked(Numbers(3)) as loader:
        list(loader)
        again = pickle.loads(pickle.dumps(loader))
    with again:
        assert [number for _, number in again] == [0, 1, 2]
