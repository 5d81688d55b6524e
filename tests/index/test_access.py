"""Samples by number and key, from files and over HTTP: the same that streaming gives, with few requests and bytes."""

import pickle
import tarfile
from io import BytesIO
from itertools import pairwise

import pytest

import asyncwds as wds
from asyncwds.errors import ChangedError, NoSuchSampleError, SpecError, StaleIndexError
from asyncwds.testing import Fault, FaultServer, leaks, make_samples, make_shard

PATTERN = "s{0..2}.tar"
COUNT = 60


def samples_of(number, size=2000):
    return list(make_samples(COUNT // 3, size=size, fields=("bin", "cls", "json"), prefix=f"n{number}/", seed=number))


@pytest.fixture(params=["ustar", "pax"])
def folder(tmp_path, request):
    for number in range(3):
        (tmp_path / f"s{number}.tar").write_bytes(make_shard(samples_of(number), format=request.param))
    return tmp_path


@pytest.fixture
def local(folder):
    return str(folder / PATTERN)


def streamed(urls, **options):
    return list(wds.WebDataset(urls, shardshuffle=False, **options))


def plain(sample):
    return {name: value for name, value in sample.items() if name not in {"__url__", "__local_path__"}}


def test_local_samples_are_those_of_streaming(local):
    expected = streamed(local)
    with leaks(), wds.WebDataset(local) as dataset:
        assert [dataset[number] for number in range(COUNT)] == expected
        assert [dataset.sample(each["__key__"]) for each in expected] == expected
        assert [dataset[number].origin for number in range(COUNT)] == [each.origin for each in expected]
        assert (dataset[-1], dataset[18:50:7], dataset[5:2]) == (expected[-1], expected[18:50:7], [])


def test_samples_over_http_are_those_of_streaming(folder, local):
    expected = [plain(sample) for sample in streamed(local)]
    with leaks(), FaultServer(folder) as server, wds.WebDataset(server.url() + PATTERN) as dataset:
        access = dataset.random_access()
        assert [plain(access[number]) for number in (0, 37, 59)] == [expected[number] for number in (0, 37, 59)]
        order = [*range(59, -1, -3), 5, 5]
        assert [plain(sample) for sample in access.__getitems__(order)] == [expected[number] for number in order]
        assert plain(access["n1/000003"]) == expected[23]


def test_only_the_samples_are_fetched_and_close_ones_together(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(200, size=100_000, fields=("bin",))))
    index = wds.make_index(tmp_path / "a.tar")
    with FaultServer(tmp_path) as server, wds.WebDataset(server.url("a.tar"), index=index) as dataset:
        access = dataset.random_access()
        access.__getitems__([10, 12, 13, 14, 150])
        assert server.counters.requests == 3
        assert server.counters.bytes_sent < 5 * 102_000
        assert dataset[10]["__key__"] == "000010"


def test_without_an_index_headers_are_fetched_once(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(make_samples(1000, size=110_000, fields=("jpg", "cls"))))
    size = (tmp_path / "a.tar").stat().st_size
    with FaultServer(tmp_path) as server:
        assert len(wds.make_index(server.url("a.tar"))) == 1000
        assert server.counters.bytes_sent < size / 50


def test_an_index_in_a_cache_or_beside_the_shard_is_found(folder, tmp_path):
    with FaultServer(folder) as server:
        for _ in range(2):
            with wds.WebDataset(server.url("s0.tar"), cache_dir=tmp_path / "cache") as dataset:
                assert dataset[3]["__key__"] == "n0/000003"
            first = server.counters.requests
        assert [path.name.endswith(".tar.wdsindex") for path in (tmp_path / "cache/.asyncwds-indexes").iterdir()] == [True]
        wds.save_index(wds.make_index(str(folder / "s1.tar")))
        with wds.WebDataset(server.url("s1.tar")) as dataset:
            assert dataset["n1/000004"]["__key__"] == "n1/000004"
        assert server.counters.requests == first + 2  # the index, and the sample


def test_what_a_cache_has_is_not_fetched_again(folder, local, tmp_path):
    index = wds.make_index(local)
    with leaks(), FaultServer(folder) as server:
        with wds.WebDataset(server.url() + PATTERN, index=index, cache_dir=tmp_path / "cache") as dataset:
            first = dataset.random_access().__getitems__([3, 30, 45])
            before = server.counters.requests
            assert dataset.random_access().__getitems__([3, 30, 45]) == first
        assert server.counters.requests == before == 3


def test_counts_give_a_length(local):
    index = wds.make_index(local)
    dataset = wds.WebDataset(local, index=index)
    assert len(dataset) == len(dataset.decode()) == COUNT
    assert len(wds.WebDataset([local.replace("{0..2}", "1")], index=index)) == COUNT // 3


def test_stages_are_applied_to_each_sample_by_itself(local):
    pipeline = wds.WebDataset(local, shardshuffle=False).decode().map(lambda sample: {**sample, "more": sample["cls"] + 1})
    dataset = pipeline.to_tuple("__key__", "more")
    expected = list(dataset)
    assert dataset[17] == expected[17]
    assert dataset["n2/000001"] == expected[41]
    assert dataset.random_access().__getitems__([3, 1]) == [expected[3], expected[1]]
    dataset.close()


@pytest.mark.parametrize("stage", [lambda ds: ds.select(lambda _: False), lambda ds: ds.map(lambda _: None)])
def test_stages_must_give_an_item_for_each_sample(local, stage):
    with pytest.raises(SpecError, match="one item for each sample"):
        stage(wds.WebDataset(local))[0]


def test_members_are_chosen_and_renamed_as_in_streaming(local):
    options = {"select_files": lambda name: name.endswith("cls"), "rename_files": lambda name: name.replace("n1", "m1")}
    expected = streamed(local, **options)
    dataset = wds.WebDataset(local, **options)
    assert dataset[20:25] == expected[20:25]
    with pytest.raises(NoSuchSampleError, match="leaves nothing"):
        wds.WebDataset(local, select_files=lambda _: False)[0]


UNUSUAL = [
    {"__key__": "long/" + "k" * 300, "txt": "x", "bin": b"y" * 1000},
    {"__key__": "é", "TXT": "upper"},
    {"__key__": "half\udcff", "seg.png": b""},
    {"__key__": "_underscore", "a": "1"},
]


@pytest.mark.parametrize("form", ["pax", "gnu"])
def test_unusual_names(tmp_path, form):
    (tmp_path / "a.tar").write_bytes(make_shard(UNUSUAL, format=form))
    path = str(tmp_path / "a.tar")
    assert wds.WebDataset(path)[0:4] == streamed(path)


def test_members_of_no_sample_and_joined_archives(tmp_path):
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("dir", "__meta__/x.json", "a.txt", "a.bin", "noext", "b.txt", "c.txt", "c.bin"):
            info = tarfile.TarInfo(name)
            info.size = 0 if name == "dir" else 600
            info.type = tarfile.DIRTYPE if name == "dir" else tarfile.REGTYPE
            archive.addfile(info, BytesIO(name.encode() * 600))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue() + make_shard(make_samples(2)))
    path = str(tmp_path / "a.tar")
    expected = streamed(path)
    dataset = wds.WebDataset(path)
    assert [dataset[number] for number in range(5)] == expected
    assert [dataset[number].origin for number in range(5)] == [sample.origin for sample in expected]


SIZE = 81920


def padded(data):
    return data[:SIZE].ljust(SIZE, b"\0")


@pytest.mark.parametrize(
    ("change", "indexed", "found"),
    [
        (lambda data: data + bytes(10240), "81920 bytes", "92160 bytes"),
        (lambda _: padded(make_shard(samples_of(2, size=500))), "sample 'n1/000007'", "sample 'n2/000007'"),
        (lambda data: padded(data[:512] + data[1024:]), "sample 'n1/000007'", "no sample"),
        (lambda data: padded(bytes(512) + data), "sample 'n1/000007'", "no sample"),
    ],
)
def test_a_local_shard_that_was_replaced(tmp_path, change, indexed, found):
    path = tmp_path / "s.tar"
    path.write_bytes(padded(make_shard(samples_of(1, size=500))))
    index = wds.make_index(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StaleIndexError, match="does not fit this shard any more") as caught:
        wds.WebDataset(str(path), index=index)[7]
    assert (caught.value.indexed, caught.value.found[: len(found)]) == (indexed, found)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), ChangedError)


def test_a_shard_elsewhere_that_was_replaced_is_known_by_its_etag(folder):
    with FaultServer(folder) as server:
        index = wds.make_index(server.url("s0.tar"))
        assert index.shards[0].identity
        path = folder / "s0.tar"
        path.write_bytes(path.read_bytes()[::-1][::-1])
        with wds.WebDataset(server.url("s0.tar"), index=index) as dataset, pytest.raises(StaleIndexError) as caught:
            dataset[0]
        assert index.shards[0].identity in caught.value.indexed
        assert "ETag" in caught.value.found
        assert caught.value.indexed != caught.value.found


def test_copies_under_other_urls_need_only_be_as_large(folder, local):
    with FaultServer(folder) as server:
        index = wds.make_index(server.url() + PATTERN)
    assert wds.WebDataset(local, index=index)[3] == streamed(local)[3]


@pytest.mark.parametrize("wanted", [COUNT, -COUNT - 1, "none"])
def test_what_is_not_there(local, wanted):
    with pytest.raises(NoSuchSampleError):
        wds.WebDataset(local)[wanted]


@pytest.mark.parametrize("wanted", [1.5, None, b"n0/000000"])
def test_what_is_no_number_and_no_key(local, wanted):
    with pytest.raises(SpecError, match="by number or key"):
        wds.WebDataset(local)[wanted]


def test_requests_that_fail_are_made_again(folder, local):
    expected = [plain(sample) for sample in streamed(local)]
    faults = [Fault(status=503, every=3), Fault(cut_at=700, every=5)]
    index = wds.make_index(local)
    with leaks(), FaultServer(folder, faults=faults) as server, wds.WebDataset(server.url() + PATTERN, index=index) as dataset:
        access = dataset.random_access()
        assert [plain(sample) for sample in access.__getitems__(range(0, COUNT, 4))] == expected[::4]


def test_a_shard_that_is_gone_is_an_error_and_the_others_are_read_on(folder, local):
    index = wds.make_index(local)
    (folder / "s1.tar").unlink()
    with leaks(), FaultServer(folder) as server, wds.WebDataset(server.url() + PATTERN, index=index) as dataset:
        with pytest.raises(FileNotFoundError):
            dataset.random_access().__getitems__([0, 25, 59])
        assert dataset[59]["__key__"] == "n2/000019"


def test_sources_without_ranges_give_samples_too(folder, local):
    index = wds.make_index(local)
    faults = [Fault(no_ranges=True)]
    with FaultServer(folder, faults=faults) as server, wds.WebDataset(server.url() + PATTERN, index=index) as dataset:
        assert plain(dataset[33]) == plain(streamed(local)[33])


def test_in_secure_mode_no_local_files_are_read(local, monkeypatch):
    index = wds.make_index(local)
    dataset = wds.WebDataset(local, index=index)
    monkeypatch.setenv("WDS_SECURE", "1")
    with pytest.raises(SpecError, match="WDS_SECURE"):
        dataset[0]


def test_a_pickled_access_reads_on_its_own(local):
    access = wds.WebDataset(local).random_access()
    assert access[3] == pickle.loads(pickle.dumps(access))[3]


def test_a_dataset_that_is_no_list_of_shards_has_no_numbers(tmp_path, folder):
    with pytest.raises(SpecError, match="list of shards"):
        wds.WebDataset(str(folder) + "/", mode="keep").random_access()


def test_all_samples_in_an_order_of_the_whole_data_set(local):
    keys = [sample["__key__"] for sample in streamed(local)]
    access = wds.WebDataset(local).random_access()
    shuffled = access.shuffled(seed=3, at_once=7)
    first, second = ([sample["__key__"] for sample in shuffled] for _ in range(2))
    assert sorted(first) == sorted(second) == keys
    assert len({tuple(first), tuple(second), tuple(keys)}) == 3
    again = access.shuffled(seed=3)
    again.set_epoch(1)
    assert [sample["__key__"] for sample in again] == second
    places = [keys.index(key) for key in first]
    assert sum(abs(a - b) > 5 for a, b in pairwise(places)) > COUNT / 2


def test_the_order_is_the_same_for_all_times(local):
    """It must not change with a version of anything: a run that goes on has to know it."""
    shuffled = wds.WebDataset(local).random_access().shuffled(seed=1)
    assert [int(sample["__key__"][1]) * 20 + int(sample["__key__"][3:]) for sample in shuffled][:8] == FIRST_EIGHT


FIRST_EIGHT = [31, 36, 47, 22, 50, 2, 46, 29]


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_ranks_and_workers_share_out_all_samples(local, monkeypatch, ranks, workers):
    access = wds.WebDataset(local).random_access()
    found = []
    for rank in range(ranks):
        for worker in range(workers):
            names = {"RANK": rank, "WORLD_SIZE": ranks, "WORKER": worker, "NUM_WORKERS": workers}
            for name, value in names.items():
                monkeypatch.setenv(name, str(value))
            found.append([sample["__key__"] for sample in access.shuffled(seed=5)])
    counts = {len(keys) for keys in found}
    assert max(counts) - min(counts) <= 1
    assert len({key for keys in found for key in keys}) == sum(map(len, found)) == COUNT
