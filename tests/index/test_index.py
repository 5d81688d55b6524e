"""The index of a data set: samples by number and key, its file, and what does not fit."""

import pickle

import pytest

from asyncwds import Index, ShardIndex, load_index, make_index, save_index
from asyncwds.errors import NoSuchSampleError, NotFoundError, SpecError
from asyncwds.index import decode, encode
from asyncwds.testing import make_samples, make_shard

COUNTS = (3, 0, 5)


@pytest.fixture
def folder(tmp_path):
    for number, count in enumerate(COUNTS):
        samples = make_samples(count, fields=("bin", "cls"), prefix=f"{number}-", seed=number)
        (tmp_path / f"s{number}.tar").write_bytes(make_shard(samples))
    return tmp_path


@pytest.fixture
def index(folder):
    return make_index(str(folder / "s{0..2}.tar"))


KEYS = ["0-000000", "0-000001", "0-000002", *[f"2-00000{n}" for n in range(5)]]


def test_samples_are_counted_over_all_shards(index):
    assert (len(index), list(index.keys())) == (8, KEYS)
    assert [index[number].key for number in (0, 2, 3, 7, -1, -8)] == [KEYS[number] for number in (0, 2, 3, 7, -1, -8)]
    assert [index.locate(number) for number in (2, 3)] == [(0, 2), (2, 0)]
    assert [index.find(key) for key in KEYS] == list(range(8))
    assert repr(index) == "Index(8 samples in 3 shards)"


@pytest.mark.parametrize("ask", [lambda index: index[8], lambda index: index[-9], lambda index: index.find("none")])
@pytest.mark.parametrize("kind", [KeyError, IndexError])
def test_what_is_not_there_is_both_a_key_and_an_index_error(index, ask, kind):
    with pytest.raises(NoSuchSampleError) as caught:
        ask(index)
    assert isinstance(caught.value, kind)


def test_the_first_of_samples_with_one_key_is_found(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.tar").write_bytes(make_shard([{"__key__": key, "txt": name} for key in ("x", name)]))
    index = make_index([tmp_path / "a.tar", tmp_path / "b.tar"])
    assert (index.find("x"), index.find("b")) == (0, 3)


def test_a_file_gives_the_index_back(index, tmp_path):
    path = tmp_path / "all.wdsindex"
    assert save_index(index, path) == [str(path)]
    assert load_index(path) == index
    assert pickle.loads(pickle.dumps(load_index(path))) == index


def test_shards_and_index_move_together(index, folder, tmp_path):
    save_index(index, folder / "all.wdsindex")
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in folder.glob("*.*"):
        path.rename(moved / path.name)
    found = load_index(moved / "all.wdsindex")
    assert [shard.url for shard in found.shards] == [str(moved / f"s{n}.tar") for n in range(3)]


def test_shards_outside_of_the_folder_of_the_index_are_found(index, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    relative = make_index("s{0..2}.tar")
    save_index(relative, "elsewhere/all.wdsindex")
    assert load_index("elsewhere/all.wdsindex") == index


def test_an_index_beside_each_shard_and_a_folder_of_them(index, folder, tmp_path):
    beside = [f"{shard.url}.wdsindex" for shard in index.shards]
    assert save_index(index) == beside
    assert load_index(beside) == index
    assert load_index(str(folder / "s{0..2}.tar.wdsindex")) == index
    assert len(save_index(index, f"{tmp_path}/kept/")) == 3
    assert sorted(load_index(tmp_path / "kept").shards, key=lambda shard: shard.url) == list(index.shards)


def test_the_shards_of_a_dataset_are_found_by_url_or_by_name(index):
    urls = ["https://mirror.example/s2.tar", index.shards[0].url]
    found = index.for_urls(urls)
    assert [(shard.url, shard.samples) for shard in found.shards] == [(urls[0], 5), (urls[1], 3)]
    with pytest.raises(SpecError, match="no such shard"):
        index.for_urls(["s7.tar"])


def test_a_name_that_two_shards_have_tells_neither():
    two = Index((ShardIndex("a/s.tar", 1), ShardIndex("b/s.tar", 2)))
    assert two.for_urls(["b/s.tar"]).shards == two.shards[1:]
    with pytest.raises(SpecError, match="no such shard"):
        two.for_urls(["c/s.tar"])


def test_compressed_shards_are_counted(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(make_shard(make_samples(4), compress="gz"))
    index = make_index(tmp_path / "a.tar.gz")
    assert (len(index), index.shards[0].packed) == (4, None)
    with pytest.raises(SpecError, match="only the number of samples"):
        index[0]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:-1], "are others"),
        (lambda data: data[:40], "damaged"),
        (lambda data: data[:7] + b"\x09" + data[8:], "version 9"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "are others"),
        (lambda _: b"", "no index"),
    ],
)
def test_a_damaged_file_is_an_error(index, damage, says):
    with pytest.raises(SpecError, match=says):
        decode(damage(encode(index, "x")), "x")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError):
        load_index(tmp_path / "none.wdsindex")


def test_an_index_without_shards_is_not_written(tmp_path):
    with pytest.raises(SpecError, match="without shards"):
        save_index(Index(()), tmp_path / "x")
