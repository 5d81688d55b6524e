"""Opening, unpacking and grouping as separate stages, as open_clip and others put them together."""

from __future__ import annotations

import gzip
import io

import pytest

import asyncwds as wds
from asyncwds import group_by_keys, tar_file_expander, tariterators, url_opener
from asyncwds.errors import DuplicateFieldError, FetchError, SampleError, ShardWarning, SpecError, TarError, TruncatedTarError
from asyncwds.testing import FaultServer, leaks, make_shard

SAMPLES = [{"__key__": f"k{n}", "txt": f"text {n}", "cls": str(n)} for n in range(3)]
FILES = [(f"k{n}.{field}", sample[field].encode()) for n, sample in enumerate(SAMPLES) for field in ("txt", "cls")]


@pytest.fixture
def shard(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard(SAMPLES))
    return f"{tmp_path}/a.tar"


def fails(*_args):
    raise ZeroDivisionError


def separate(urls, **options):
    return group_by_keys(tar_file_expander(url_opener(urls, **options), **options), **options)


def pairs(files):
    return [(file["fname"], file["data"]) for file in files]


def test_separate_stages_give_what_the_engine_gives(shard, tmp_path):
    (tmp_path / "b.tar.gz").write_bytes(make_shard(SAMPLES[:2], compress="gz"))
    urls = [shard, {"url": f"{tmp_path}/b.tar.gz"}, shard]
    with leaks():
        assert list(separate(urls)) == list(tariterators.tarfile_to_samples()(urls))


def test_over_http_and_nothing_is_left_open(shard, tmp_path):
    with leaks(), FaultServer(tmp_path) as server:
        samples = separate([server.url("a.tar")] * 3)
        assert len(list(samples)) == 9
        samples = separate([server.url("a.tar")] * 3)
        next(samples)
        del samples


def test_what_each_stage_passes_on(shard):
    (opened,) = url_opener([{"url": shard, "extra": 1}])
    assert (opened["url"], opened["extra"]) == (shard, 1)
    files = list(tar_file_expander([{**opened, "local_path": "/x"}]))
    assert pairs(files) == FILES
    assert {(file["__url__"], file["__local_path__"]) for file in files} == {(shard, "/x")}
    assert opened["stream"].closed
    assert {sample["__local_path__"] for sample in group_by_keys(files)} == {"/x"}


def test_outsiders_see_no_marks_and_archives_are_kept_apart(shard, tmp_path):
    (tmp_path / "one.tar").write_bytes(make_shard(SAMPLES[:1]))
    files = list(tar_file_expander(url_opener([f"{tmp_path}/one.tar"] * 3)))
    assert all("fname" in file for file in files)
    assert [sample["__key__"] for sample in group_by_keys(files)] == ["k0"] * 3
    # Whoever makes new dicts of them loses the archive's number; the url still tells other archives apart.
    copies = [dict(file, __url__=f"u{number // 2}") for number, file in enumerate(files)]
    assert [sample["__url__"] for sample in group_by_keys(copies)] == ["u0", "u1", "u2"]


def test_marks_on_request(shard):
    files = list(tar_file_expander(url_opener([shard] * 2), eof_value={}))
    assert [number for number, file in enumerate(files) if not file] == [6, 13]
    assert len(list(group_by_keys(files))) == 6


def test_select_and_rename(shard):
    options = {"select_files": lambda name: "num" in name, "rename_files": lambda name: name.replace("cls", "num")}
    assert pairs(tar_file_expander(url_opener([shard]), **options)) == [(f"k{n}.num", str(n).encode()) for n in range(3)]


@pytest.mark.parametrize("function", ["select_files", "rename_files"])
def test_errors_of_users_functions_cost_a_file_or_end_the_stage(shard, function):
    seen = []

    def only_first(name):
        seen.append(name)
        return fails() if len(seen) == 2 else name

    def files(handler):
        seen.clear()
        return pairs(tar_file_expander(url_opener([shard]), handler, **{function: only_first}))

    assert files(wds.ignore_and_continue) == FILES[:1] + FILES[2:]
    assert files(wds.ignore_and_stop) == FILES[:1]
    with pytest.raises(ZeroDivisionError):
        files(wds.reraise_exception)
    seen.clear()
    assert pairs(tar_file_expander(url_opener([shard, shard]), wds.ignore_and_stop, **{function: only_first})) == FILES[:1]


def test_a_shard_that_is_cut_short(shard, tmp_path):
    (tmp_path / "cut.tar").write_bytes(make_shard(SAMPLES)[:2500])
    urls = [f"{tmp_path}/cut.tar", shard]
    with leaks(), pytest.raises(TruncatedTarError, match=r"cut.tar"):
        list(separate(urls))
    assert len(list(separate(urls, handler=wds.ignore_and_continue))) == 4
    assert [sample["txt"] for sample in separate(urls, handler=wds.ignore_and_stop)] == [b"text 0"]


def test_a_shard_that_is_not_there(shard, tmp_path):
    urls = [f"{tmp_path}/missing.tar", shard]
    with pytest.raises(FileNotFoundError):
        list(separate(urls))
    assert len(list(separate(urls, handler=wds.ignore_and_continue))) == 3
    assert list(separate(urls, handler=wds.ignore_and_stop)) == []
    with pytest.raises(SpecError, match="needs items with a url and a stream, not .*None"):
        list(wds.tar_file_expander([{"url": "u", "stream": None}]))
    with pytest.raises(SpecError, match="url_opener needs urls"):
        list(url_opener([3]))


def test_what_is_no_archive():
    with pytest.raises(TarError):
        list(tar_file_expander([{"url": "u", "stream": io.BytesIO(b"<html>" * 200)}]))
    with pytest.raises(TarError, match="empty"):
        list(tar_file_expander([{"url": "u", "stream": io.BytesIO(b"")}]))
    with pytest.raises(TruncatedTarError):
        list(tar_file_expander([{"url": "u", "stream": io.BytesIO(gzip.compress(make_shard(SAMPLES))[:-20])}]))


def test_the_files_of_an_archive():
    stream = io.BytesIO(make_shard([{"__key__": "__meta__", "txt": "x"}, *SAMPLES, {"__key__": "__x__/a", "txt": "y"}]))
    assert pairs(tariterators.tar_file_iterator(stream)) == [("__meta__.txt", b"x"), *FILES]
    stream.seek(0)
    assert pairs(tariterators.tar_file_iterator(stream, skip_meta=None)) == [("__meta__.txt", b"x"), *FILES, ("__x__/a.txt", b"y")]
    assert not stream.closed


def test_a_stream_that_fails_in_the_middle(tmp_path):
    class Stream:
        def read(self, _size):
            raise FetchError("broken", url="u")

    with pytest.raises(FetchError, match="broken"):
        list(tar_file_expander([{"url": "u", "stream": Stream()}]))


# -- grouping


def files(*names, url="u"):
    return [{"fname": name, "data": name.encode(), "__url__": url} for name in names]


def test_grouping_by_keys_of_ones_own():
    def by_folder(name):
        folder, _, rest = name.partition("/")
        return (folder, rest) if rest else (None, None)

    samples = list(group_by_keys(files("a/X.jpg", "a/y.txt", "loose", "b/z"), by_folder, lcase=False))
    assert samples == [
        {"__key__": "a", "__url__": "u", "X.jpg": b"a/X.jpg", "y.txt": b"a/y.txt"},
        {"__key__": "b", "__url__": "u", "z": b"b/z"},
    ]


def test_fields_to_keep():
    assert [set(sample) for sample in group_by_keys(files("a.jpg", "a.txt", "b.JPG"), suffixes={"jpg"})] == [
        {"__key__", "__url__", "jpg"},
        {"__key__", "__url__", "jpg"},
    ]


def test_fault_25_a_field_that_comes_twice():
    doubled = files("a.txt", "a.TXT", "a.cls", "b.txt")
    with pytest.raises(DuplicateFieldError, match=r"a.TXT.*key=a"):
        list(group_by_keys(doubled))
    going_on = list(group_by_keys(doubled, handler=wds.ignore_and_continue))
    assert [(sample["txt"], sample.get("cls")) for sample in going_on] == [(b"a.txt", b"a.cls"), (b"b.txt", None)]
    assert [set(sample) for sample in group_by_keys(doubled, handler=wds.ignore_and_stop)] == [{"__key__", "__url__", "txt"}]
    assert issubclass(DuplicateFieldError, SampleError)


def test_fault_25_members_of_one_key_that_are_not_adjacent_are_samples_of_their_own():
    with pytest.warns(ShardWarning, match="'a' comes again"):
        samples = list(group_by_keys(files("a.txt", "b.txt", "a.cls")))
    assert [sample["__key__"] for sample in samples] == ["a", "b", "a"]


def test_samples_that_are_bad():
    marked = [{"fname": "a.__bad__", "data": b"1", "__url__": "u"}, *files("b.txt")]
    assert [sample["__key__"] for sample in group_by_keys(marked)] == ["b"]
    assert [tariterators.valid_sample(sample) for sample in (None, {}, [1], {"a": 1}, {"a": 1, "__bad__": True})] == [False] * 3 + [
        True,
        False,
    ]


# -- as open_clip and timm put them together


def group_by_keys_nothrow(data, keys=tariterators.base_plus_ext, lcase=True):
    """Grouping of the kind that dies of a bare `{}`, and goes on after duplicates."""
    current = None
    for file in data:
        fname, value = file["fname"], file["data"]
        prefix, suffix = keys(fname)
        if prefix is None:
            continue
        suffix = suffix.lower() if lcase else suffix
        if current is None or prefix != current["__key__"] or suffix in current:
            if tariterators.valid_sample(current):
                yield current
            current = {"__key__": prefix, "__url__": file["__url__"]}
        current[suffix] = value
    if tariterators.valid_sample(current):
        yield current


def test_other_peoples_grouping(shard, tmp_path):
    (tmp_path / "cut.tar").write_bytes(make_shard(SAMPLES)[:2500])
    handled = []

    def log_and_continue(error):
        handled.append(error)
        return True

    def tarfile_to_samples_nothrow(source):
        streams = url_opener(source, handler=log_and_continue)
        return group_by_keys_nothrow(tar_file_expander(streams, handler=log_and_continue))

    pipeline = wds.DataPipeline(
        wds.SimpleShardList([shard, f"{tmp_path}/cut.tar", f"{tmp_path}/missing.tar", shard]),
        wds.split_by_node,
        wds.split_by_worker,
        tarfile_to_samples_nothrow,
        wds.decode(),
        wds.to_tuple("txt", "cls"),
        wds.batched(4, partial=False),
    ).repeat()
    batches = list(pipeline.with_epoch(3))
    assert [len(texts) for texts, _ in batches] == [4, 4, 4]
    assert [type(error) for error in handled[:2]] == [TruncatedTarError, FileNotFoundError]
