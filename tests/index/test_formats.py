"""Indexes of other libraries, read and written: compared with the standard library's tarfile, and with what the libraries wrote."""

import hashlib
import io
import json
import sqlite3
import struct
import tarfile
from contextlib import closing

import pytest

import asyncwds as wds
from asyncwds.errors import SpecError, StaleIndexError
from asyncwds.index import ShardDigester, decode_index, files_of

FORMATS = [
    "wids",
    "wds2idx",
    "energon",
    "webshart",
    "hfutils",
    "sizes",
    "manifest",
    pytest.param("parquet", marks=pytest.mark.needs("pyarrow")),
]


def write_archive(path, names, *, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=form) as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = 700 * number % 1500
            info.mtime = 0.5  # which PAX has in a header of its own
            archive.addfile(info, io.BytesIO(bytes(info.size)))


NAMES = ["n/a.JPG", "n/a.cls", "n/b.JPG", "n/b.cls", "n/b.seg.png", "c.cls"]


@pytest.fixture(params=[tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def shards(tmp_path, request):
    write_archive(tmp_path / "s0.tar", NAMES, form=request.param)
    write_archive(tmp_path / "s1.tar", [f"x{name}" for name in NAMES], form=request.param)
    return tmp_path


@pytest.fixture
def index(shards):
    return wds.make_index(str(shards / "s{0,1}.tar"))


def members(path):
    with tarfile.open(path) as archive:
        return {info.name: (info.offset, info.offset_data, info.size) for info in archive}, archive.offset


def test_our_own_has_every_member_where_it_is(shards, index):
    for number, shard in enumerate(index.shards):
        found, _ = members(shards / f"s{number}.tar")
        rows = list(shard.rows())
        assert {f"{row.key}.{field.suffix}": (field.offset, field.size) for row in rows for field in row.fields} == {
            name: (data, size) for name, (_, data, size) in found.items()
        }
        assert [row.offset for row in rows] == [found[f"{row.key}.{row.fields[0].suffix}"][0] for row in rows]


def test_wds2idx(shards, index):
    assert wds.save_index(index, format="wds2idx") == [str(shards / f"s{n}.idx") for n in (0, 1)]
    found, _ = members(shards / "s0.tar")
    head, *lines = (shards / "s0.idx").read_text().splitlines()
    assert head == "v1.2 3"
    words = [f"{name.partition('.')[2]} {data} {size} {name}" for name, (_, data, size) in found.items()]
    assert lines == [" ".join(words[:2]), " ".join(words[2:5]), words[5]]


# As DALI has s0.tar in USTAR, and the same in its older version.
DALI = """v1.2 3
JPG 512 0 n/a.JPG cls 1024 700 n/a.cls
JPG 2560 1400 n/b.JPG cls 4608 600 n/b.cls seg.png 6144 1300 n/b.seg.png
cls 8192 500 c.cls
"""
DALI_1_1 = "v1.1 3\nJPG 512 0 cls 1024 700\nJPG 2560 1400 cls 4608 600 seg.png 6144 1300\ncls 8192 500\n"


def test_wds2idx_of_dali_is_read(tmp_path):
    write_archive(tmp_path / "s0.tar", NAMES, form=tarfile.USTAR_FORMAT)
    ours = wds.make_index(tmp_path / "s0.tar")
    (tmp_path / "s0.idx").write_text(DALI)
    assert list(wds.load_index(tmp_path / "s0.idx").shards[0].rows()) == list(ours.shards[0].rows())
    nameless = decode_index(DALI_1_1.encode(), str(tmp_path / "s0.idx"))
    assert [row.fields for row in nameless.shards[0].rows()] == [row.fields for row in ours.shards[0].rows()]
    wds.save_index(ours, format="wds2idx")
    assert (tmp_path / "s0.idx").read_text() == DALI


def test_energon_has_offsets_and_the_end(shards, index):
    wds.save_index(index, format="energon")
    for number in (0, 1):
        found, end = members(shards / f"s{number}.tar")
        first = [offset for name, (offset, _, _) in found.items() if name.endswith(("a.JPG", "b.JPG", "c.cls"))]
        assert struct.unpack("<4Q", (shards / f"s{number}.tar.idx").read_bytes()) == (*first, end)


def test_energons_database(shards, index):
    written = wds.save_index(index, format="energon")
    assert {url.removeprefix(f"{shards}/") for url in written} == {
        *("s0.tar.idx", "s1.tar.idx", ".nv-meta/index.sqlite", ".nv-meta/index.uuid", ".nv-meta/.info.json")
    }
    assert json.loads((shards / ".nv-meta/.info.json").read_text()) == {"shard_counts": {"s0.tar": 3, "s1.tar": 3}}
    found, end = members(shards / "s1.tar")
    with closing(sqlite3.connect(shards / ".nv-meta/index.sqlite")) as database:
        samples = database.execute("select sample_key, sample_index, byte_offset, byte_size from samples where tar_file_id = 1")
        starts = [found[f"x{name}"][0] for name in ("n/a.JPG", "n/b.JPG", "c.cls")]
        sizes = [following - start for start, following in zip(starts, [*starts[1:], end], strict=True)]
        assert list(samples) == list(zip(["xn/a", "xn/b", "xc"], range(3), starts, sizes, strict=True))
        parts = database.execute("select part_name, content_byte_offset, content_byte_size from sample_parts where tar_file_id = 1")
        assert list(parts) == [(name.partition(".")[2], data, size) for name, (_, data, size) in found.items()]


@pytest.mark.parametrize(("form", "length"), [("webshart", "length"), ("hfutils", "size")])
def test_json_beside_the_shard(shards, index, form, length):
    wds.save_index(index, format=form)
    found, _ = members(shards / "s0.tar")
    assert json.loads((shards / "s0.json").read_text()) == {
        "filesize": (shards / "s0.tar").stat().st_size,
        "files": {name: {"offset": data, length: size} for name, (_, data, size) in found.items()},
    }


def test_lists_of_counts(shards, index):
    wds.save_index(index, format="wids")
    wds.save_index(index, format="sizes")
    listed = json.loads((shards / "shardindex.json").read_text())
    size = (shards / "s0.tar").stat().st_size
    assert (listed["wids_version"], listed["shardlist"][0]) == (1, {"url": "s0.tar", "nsamples": 3, "filesize": size})
    assert json.loads((shards / "sizes.json").read_text()) == {"s0.tar": 3, "s1.tar": 3}
    wds.save_index(index, format="manifest")
    lines = [json.loads(line) for line in (shards / "manifest.jsonl").read_text().splitlines()]
    assert lines == [{"shard": "s0", "num_sequences": 3}, {"shard": "s1", "num_sequences": 3}]
    for name in ("shardindex.json", "sizes.json", "manifest.jsonl"):
        dataset = wds.WebDataset(str(shards / name), shardshuffle=False)
        assert len(dataset) == len(list(dataset)) == 6
        by_urls = wds.WebDataset(str(shards / "s{0,1}.tar"), index=shards / name, split="samples", uneven="error")
        assert len(by_urls) == len(list(by_urls)) == 6
    assert wds.save_index(index, format="len") == [str(shards / "__len__")]
    assert (shards / "__len__").read_text() == "6\n"
    with pytest.raises(SpecError, match="of a folder"):
        wds.load_index(shards / "__len__")


def test_a_manifest_of_open_lm_below_and_beside_its_shards(shards, index, monkeypatch):
    (shards / "lists").mkdir()
    wds.save_index(index, f"{shards}/lists/", "manifest")
    assert [shard.url for shard in wds.load_index(shards / "lists/manifest.jsonl").shards] == [shard.url for shard in index.shards]
    monkeypatch.chdir(shards.parent)
    wds.save_index(index, "manifest.jsonl", "manifest")
    assert json.loads((shards.parent / "manifest.jsonl").read_text().splitlines()[0])["shard"] == f"{shards.name}/s0"
    assert len(wds.WebDataset("@manifest.jsonl")) == 6
    elsewhere = wds.load_index(shards / "lists/manifest.jsonl").for_urls(["https://h/a/s0.tar"])
    assert files_of(elsewhere, None, "manifest") == {"https://h/a/manifest.jsonl": b'{"shard": "s0", "num_sequences": 3}\n'}
    with pytest.raises(SpecError, match=r"NAME\.tar"):
        files_of(decode_index(b'{"a.tgz": 1}', "sizes.json"), "manifest.jsonl", "manifest")


@pytest.mark.needs("pyarrow")
def test_a_table_in_parquet(shards, index):
    from pyarrow import parquet

    assert wds.save_index(index, shards / "all.parquet", "parquet") == [str(shards / "all.parquet")]
    table = parquet.read_table(shards / "all.parquet")
    assert table.column_names[:7] == ["shard", "key", "ordinal", "offset", "size", "JPG.offset", "JPG.size"]
    assert table["key"].to_pylist() == ["n/a", "n/b", "c", "xn/a", "xn/b", "xc"]
    assert table["seg.png.size"].to_pylist() == [None, 1300, None] * 2
    found, _ = members(shards / "s1.tar")
    assert table.slice(4, 1).to_pylist()[0]["JPG.offset"] == found["xn/b.JPG"][1]
    again = wds.load_index(shards / "all.parquet")
    assert [(shard.url, shard.size, list(shard.rows())) for shard in again.shards] == [
        (shard.url, shard.size, list(shard.rows())) for shard in index.shards
    ]
    parquet.write_table(table.take([1, 5]).replace_schema_metadata(None), shards / "some.parquet")
    with wds.WebDataset(str(shards / "s{0,1}.tar"), index=shards / "some.parquet") as dataset:
        assert [dataset[number]["__key__"] for number in (0, 1)] == ["n/b", "xc"]


def test_digests(shards, index):
    data = (shards / "s1.tar").read_bytes()
    wds.save_index(index, format="wids", hash=True)
    assert json.loads((shards / "shardindex.json").read_text())["shardlist"][1]["md5sum"] == hashlib.md5(data).hexdigest()
    assert len(list(wds.WebDataset(str(shards / "shardindex.json"), shardshuffle=False))) == 6
    wds.save_index(index, format="hfutils", hash=True)
    listed = json.loads((shards / "s1.json").read_text())
    assert listed["hash"] == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    assert listed["hash_lfs"] == hashlib.sha256(data).hexdigest()
    found, _ = members(shards / "s1.tar")
    assert {name: entry["sha256"] for name, entry in listed["files"].items()} == {
        name: hashlib.sha256(data[start : start + size]).hexdigest() for name, (_, start, size) in found.items()
    }
    (shards / "s1.tar").write_bytes(data + bytes(512))
    with pytest.raises(StaleIndexError, match="that of another one"):
        wds.save_index(index, format="wids", hash=True)
    with pytest.raises(SpecError, match="hash is for"):
        wds.save_index(index, format="sizes", hash=True)


@pytest.mark.parametrize("piece", [1, 511, 512, 700, 5000])
def test_digests_of_members_do_not_depend_on_pieces(shards, index, piece):
    data = (shards / "s0.tar").read_bytes()
    digester = ShardDigester(index.shards[0])
    for start in range(0, len(data), piece):
        digester.update(memoryview(data)[start : start + piece])
    found, _ = members(shards / "s0.tar")
    assert digester.finish().members == {
        start: hashlib.sha256(data[start : start + size]).hexdigest() for _, start, size in found.values()
    }


WRITTEN = {
    "wids": "shardindex.json",
    "sizes": "sizes.json",
    "manifest": "manifest.jsonl",
    "parquet": "s{0,1}.tar.parquet",
    "energon": ".nv-meta/index.sqlite",
    "wds2idx": "s{0,1}.idx",
    "webshart": "s{0,1}.json",
    "hfutils": "s{0,1}.json",
}


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_written_is_read_and_gives_the_samples(shards, index, form):
    wds.save_index(index, format=form)
    found = wds.load_index(str(shards / WRITTEN[form]))
    assert [(shard.url, shard.samples) for shard in found.shards] == [(shard.url, shard.samples) for shard in index.shards]
    expected = list(wds.WebDataset(str(shards / "s{0,1}.tar"), shardshuffle=False))
    with wds.WebDataset(str(shards / "s{0,1}.tar"), index=found) as dataset:
        assert len(dataset) == 6
        if form not in {"wids", "sizes", "manifest"}:
            assert [dataset[number] for number in range(6)] == expected


def test_offsets_alone_give_the_samples_by_number(shards, index):
    wds.save_index(index, format="energon")
    expected = list(wds.WebDataset(str(shards / "s{0,1}.tar"), shardshuffle=False))
    with wds.WebDataset(str(shards / "s{0,1}.tar"), index=str(shards / "s{0,1}.tar.idx")) as dataset:
        assert dataset[0:6] == expected
    with pytest.raises(SpecError, match="keys and fields"):
        wds.save_index(wds.load_index(shards / "s0.tar.idx"), format="wds2idx")


WIDS = {
    "wids_version": 1,
    "base": "https://h/d",
    "shardlist": [{"url": "a.tar", "nsamples": 2, "filesize": 9, "md5sum": "x"}, {"url": "s3://b/c.tar", "nsamples": 1}],
    "datasets": [{"base": "gs://e/", "shardlist": [{"url": "f.tar", "nsamples": 4}]}],
}


def test_wids_lists_with_bases_and_parts():
    found = decode_index(json.dumps(WIDS).encode(), "x.json")
    assert [(shard.url, shard.samples, shard.size) for shard in found.shards] == [
        ("https://h/d/a.tar", 2, 9),
        ("s3://b/c.tar", 1, None),
        ("gs://e/f.tar", 4, None),
    ]


@pytest.mark.parametrize(
    ("data", "url", "says"),
    [
        (b"v1.2 2\njpg 512 1 a.jpg\n", "a.idx", "1 of 2 samples"),
        (b"v1.2 1\njpg 512 1\n", "a.idx", "3 words"),
        (b"v1.2 2\njpg 512 1 a.jpg\njpg 512 1 b.jpg\n", "a.idx", "follow one another"),
        (b"1234567", "a.tar.idx", "8 bytes"),
        (struct.pack("<3Q", 0, 1024, 512), "a.tar.idx", "follow one another"),
        (b'{"files": {"a.jpg": {"offset": 512}}}', "a.json", "damaged"),
        (b'{"files": {}, "filesize": "x"}', "a.json", "filesize"),
        (b'{"wids_version": 2}', "a.json", "version 1 is known"),
        (b'{"wids_version": 1, "shardlist": {}}', "a.json", "must be a list"),
        (b'{"wids_version": 1, "datasets": [{"source_url": "x"}]}', "a.json", "not followed"),
        (b'{"wids_version": 1, "shardlist": [{"url": "pipe:rm x", "nsamples": 1}]}', "a.json", "no commands"),
        (b"{", "a.json", "no JSON"),
        (b'{"shard": "a", "num_sequences": 1}\n{"shard": "b"', "a.jsonl", "no JSON"),
        (b'{"shard": "a", "num_sequences": "x"}', "a.jsonl", "url, samples and bytes"),
        (b'{"shard": "../a", "num_sequences": 1}', "s3://b/a.jsonl", "outside of its folder"),
        pytest.param(b"PAR1 and nothing", "a.parquet", "no index of samples", marks=pytest.mark.needs("pyarrow")),
        (b"what", "a.json", "no index that asyncwds knows"),
    ],
)
def test_damaged_files_of_others(data, url, says):
    with pytest.raises(SpecError, match=says):
        decode_index(data, url)


def test_a_damaged_database(tmp_path):
    folder = tmp_path / ".nv-meta"
    folder.mkdir()
    (folder / "index.sqlite").write_bytes(b"SQLite format 3\0" + bytes(100))
    (folder / ".info.json").write_text('{"shard_counts": {"a.tar": 1}}')
    with pytest.raises(SpecError, match="database is damaged"):
        wds.load_index(folder / "index.sqlite")


@pytest.mark.parametrize(
    ("names", "form", "says"),
    [
        (["a b.txt"], "wds2idx", "blanks"),
        (["a.txt", "b.txt", "a.txt"], "energon", "key comes twice"),
        (["\udcff.txt"], "energon", "UTF-8"),
        pytest.param(["\udcff.txt"], "parquet", "UTF-8", marks=pytest.mark.needs("pyarrow")),
    ],
)
@pytest.mark.filterwarnings("ignore::asyncwds.errors.ShardWarning")
def test_what_a_format_cannot_hold(tmp_path, names, form, says):
    write_archive(tmp_path / "a.tar", names)
    with pytest.raises(SpecError, match=says):
        wds.save_index(wds.make_index(tmp_path / "a.tar"), format=form)


@pytest.mark.parametrize(("form", "says"), [("wds2idx", "with a slash"), ("energon", "with a slash")])
def test_formats_that_have_a_file_for_each_shard_take_a_folder(index, tmp_path, form, says):
    with pytest.raises(SpecError, match=says):
        wds.save_index(index, tmp_path / "one", form)


def test_shards_called_alike_need_folders_of_their_own(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_archive(tmp_path / name / "s.tar", NAMES)
    index = wds.make_index(str(tmp_path / "{a,b}/s.tar"))
    with pytest.raises(SpecError, match="same name"):
        wds.save_index(index, f"{tmp_path}/", "wds2idx")
    with pytest.raises(SpecError, match="same name"):
        wds.save_index(index, format="sizes")
    wds.save_index(index, f"{tmp_path}/kept/")
    assert len(wds.load_index(tmp_path / "kept")) == len(index)
