"""What samples are created from, before anything is written: keys, fields, groups, windows, and what is refused."""

import gzip
import io
import json
import pickle
import subprocess
import tarfile
import zipfile
from collections import Counter

import pytest
from PIL import Image

from asyncwds.compression import KINDS
from asyncwds.errors import SampleError, SpecError, TarError, TarHeaderError, TruncatedTarError
from asyncwds.testing import make_shard
from asyncwds.tools import (
    Draft,
    Naming,
    Reading,
    guess_extension,
    guess_kind,
    keep_keys_apart,
    make_windows,
    open_drafts,
    require_fields,
)


def read(kind, source, **options):
    """(samples, what was left out)"""
    dropped = Counter()
    with open_drafts(kind, str(source), Reading(**options), dropped) as (drafts, _):
        samples = [(draft.sample(), pickle.loads(pickle.dumps(draft)).sample()) for draft in drafts]
    assert all(here == elsewhere for here, elsewhere in samples)
    return [sample for sample, _ in samples], dict(dropped)


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


@pytest.mark.parametrize(
    ("naming", "path", "found"),
    [
        ({}, "a/b.c.JPG", ("a/b", "c.jpg")),
        ({"key_from": "stem"}, "a/b.c.jpg", ("b", "c.jpg")),
        ({"dots": "last"}, "2101.00001.pdf", ("2101_00001", "pdf")),
        ({"dots": "last", "key_from": "stem"}, "x.y/a.b.json", ("a_b", "json")),
        ({"key_from": r"re:(?P<key>\d+)"}, "img 12.png", ("12", "png")),
        ({"key_from": r"re:(?P<key>\d+)_(?P<field>\w+)"}, "12_left.png", ("12", "left")),
        ({"key_from": r"re:s(\d+)"}, "s1.x.png", ("1", "x.png")),
        ({"key_from": r"re:s(\d+)"}, "none.png", None),
        ({}, "README", None),
        ({}, "a/.hidden", None),
        ({}, "a.", None),
    ],
)
def test_paths_are_keys_and_fields(naming, path, found):
    assert Naming(**naming).split(path) == found


@pytest.mark.parametrize("naming", [{"key_from": "name"}, {"key_from": "re:("}, {"key_from": "re:a"}, {"dots": "none"}])
def test_rules_that_make_no_sense(naming):
    with pytest.raises(SpecError):
        Naming(**naming)


def test_files_of_a_folder_are_samples_by_key(tmp_path):
    fill(tmp_path, {"b/1.txt": "b1", "a/1.txt": "a1", "a/1.JSON": "{}", "a/notes": "x", ".DS_Store": "", "__MACOSX/a/1.txt": ""})
    samples, dropped = read("dir", tmp_path)
    assert samples == [{"__key__": "a/1", "json": b"{}", "txt": b"a1"}, {"__key__": "b/1", "txt": b"b1"}]
    assert dropped == {"hidden file": 2, "file without key and field": 1}


def test_links_are_followed_once(tmp_path):
    fill(tmp_path / "real", {"1.txt": "one"})
    (tmp_path / "real" / "again").symlink_to(tmp_path / "real", target_is_directory=True)
    assert read("dir", tmp_path / "real")[0] == [{"__key__": "1", "txt": b"one"}]


def test_the_same_key_in_two_folders_is_no_sample_of_both(tmp_path):
    fill(tmp_path, {"a/1.txt": "a1", "b/1.txt": "b1"})
    with pytest.raises(SampleError, match=r"a/1\.txt and b/1\.txt both have field 'txt'.*key=1"):
        read("dir", tmp_path, key_from="stem")


def test_folders_are_classes(tmp_path):
    fill(tmp_path, {"dog/x.jpg": "d", "cat/x.jpg": "c", "cat/y.png": "C", "cat/y.txt": "no image"})
    dropped = Counter()
    with open_drafts("images", str(tmp_path), Reading(), dropped) as (drafts, names):
        samples = [draft.sample() for draft in drafts]
    assert samples == [
        {"__key__": "cat/x", "jpg": b"c", "cls": 0},
        {"__key__": "cat/y", "png": b"C", "cls": 0},
        {"__key__": "dog/x", "jpg": b"d", "cls": 1},
    ]
    assert names == ["cat", "dog"]
    assert dropped == {"file that is no image": 1}


@pytest.fixture
def falling_things(tmp_path):
    """As the data set has them: settings for a folder, and numbered frames."""
    path = tmp_path / "fat.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for place, frames in (("kitchen", 5), ("temple", 2)):
            archive.writestr(f"fat/{place}/_camera_settings.json", json.dumps({"at": place}))
            archive.writestr(f"fat/{place}/_object_settings.json", "{}")
            for frame in range(frames):
                for field in ("left.jpg", "left.json", "right.jpg"):
                    archive.writestr(f"fat/{place}/{frame:06d}.{field}", f"{place} {frame} {field}")
    return path


def test_settings_of_a_folder_are_fields_of_each_sample(falling_things):
    samples, dropped = read("zip", falling_things, group_by="dirname", broadcast=["_*_settings.json"])
    assert [sample["__key__"] for sample in samples] == [
        *[f"fat/kitchen/{n:06d}" for n in range(5)],
        *[f"fat/temple/{n:06d}" for n in range(2)],
    ]
    assert {tuple(sorted(sample)) for sample in samples} == {
        ("__key__", "camera_settings.json", "left.jpg", "left.json", "object_settings.json", "right.jpg")
    }
    assert json.loads(samples[-1]["camera_settings.json"]) == {"at": "temple"}
    assert dropped == {}


def test_windows_are_whole_and_of_one_group(falling_things):
    dropped = Counter()
    reading = Reading(group_by="dirname", broadcast=["_*_settings.json"])
    with open_drafts("zip", str(falling_things), reading, dropped) as (drafts, _):
        windows = [draft.sample() for draft in make_windows(drafts, 3, 2, dropped)]
    assert [window["__key__"] for window in windows] == ["fat/kitchen/000000", "fat/kitchen/000002"]
    assert windows[1]["0.left.jpg"] == b"kitchen 2 left.jpg"
    assert windows[1]["2.right.jpg"] == b"kitchen 4 right.jpg"
    assert sum("settings" in field for field in windows[0]) == 2
    assert dropped == {"behind the last whole window of its group": 2}


LINKED = [
    (tarfile.REGTYPE, "a/1.txt", b"one"),
    (tarfile.REGTYPE, "2.txt", b"two"),
    (tarfile.LNKTYPE, "a/1.cls", "2.txt"),
    (tarfile.SYMTYPE, "a/1.up", "../2.txt"),
    (tarfile.DIRTYPE, "a/b", b""),
]


def archive(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for kind, name, data in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE):
                info.linkname = data
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "gzip",
        "bz2",
        "xz",
        pytest.param("zstd", marks=pytest.mark.needs("zstandard")),
        pytest.param("lz4", marks=pytest.mark.needs("lz4")),
    ],
)
def test_members_of_a_tar_archive_may_stand_anywhere(tmp_path, kind):
    """Its name says nothing of the compression."""
    path = archive(tmp_path / "a.tar", LINKED)
    if kind is not None:
        path.write_bytes(KINDS[kind].pack(path.read_bytes()))
    assert read(guess_kind(str(path)), path)[0] == [
        {"__key__": "a/1", "txt": b"one", "cls": b"two", "up": b"two"},
        {"__key__": "2", "txt": b"two"},
    ]


def test_archives_come_from_anywhere(tmp_path, monkeypatch):
    for name in "ab":
        archive(tmp_path / f"{name}.tgz", [(tarfile.REGTYPE, f"{name}.txt", name.encode())], "w:gz")
    both = [{"__key__": "a", "txt": b"a"}, {"__key__": "b", "txt": b"b"}]
    (tmp_path / "list").write_text(f"{tmp_path}/a.tgz\n{tmp_path}/b.tgz\n")
    for source in ("{a,b}.tgz", "[ab].tgz"):
        assert read("tar", tmp_path / source)[0] == both
    assert read("tar", f"@{tmp_path}/list")[0] == both
    assert read("tar", f"pipe:cat {tmp_path}/b.tgz")[0] == both[1:]
    with (tmp_path / "a.tgz").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert read("tar", "-")[0] == both[:1]
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as packed:
        packed.writestr("c.txt", "c")
    assert read("zip", f"pipe:cat {tmp_path}/c.zip")[0] == [{"__key__": "c", "txt": b"c"}]


def test_what_is_sparse_is_read_with_its_zeros(tmp_path):
    with (tmp_path / "1.bin").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    subprocess.run(["tar", "-S", "-cf", "a.tar", "1.bin"], cwd=tmp_path, check=True)
    assert read("tar", tmp_path / "a.tar")[0] == [{"__key__": "1", "bin": bytes(1 << 20) + b"end"}]


def test_members_of_which_nothing_can_be_read(tmp_path):
    members = [(tarfile.SYMTYPE, "1.txt", "2.txt"), (tarfile.SYMTYPE, "2.txt", "1.txt"), (tarfile.FIFOTYPE, "3.txt", b"")]
    path = archive(tmp_path / "a.tar", members)
    with open_drafts("tar", str(path), Reading(), Counter()) as (drafts, _):
        for draft, words in zip(drafts, ["link to 2.txt", "link to 1.txt", "neither a file"], strict=True):
            with pytest.raises(SampleError, match=words):
                draft.sample()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("1.txt", "some words")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"some words", b"some birds"))
    with pytest.raises(SampleError, match="1.txt cannot be read: Bad CRC"):
        read("zip", tmp_path / "a.zip")


def test_plans_of_tarp(tmp_path):
    fill(tmp_path, {"x.jpg": "image", "y z.jpg": "other"})
    lines = [
        f"a.jpg {tmp_path}/x.jpg",
        "a.txt text:some  words",
        f"b.jpg file:{tmp_path}/y z.jpg",
        "'b c.txt' pipe:printf 'hi %s' you",
    ]
    plan = fill(tmp_path, {"plan": "\n".join(lines) + "\n\n"}) / "plan"
    assert read("recipe", plan)[0] == [
        {"__key__": "a", "jpg": b"image", "txt": b"some  words"},
        {"__key__": "b", "jpg": b"other"},
        {"__key__": "b c", "txt": b"hi you"},
    ]


@pytest.mark.parametrize("line", ["alone", "'open text:x", "a.txt "])
def test_lines_that_are_no_recipe(tmp_path, line):
    with pytest.raises(SpecError, match="line 1 is not"):
        read("recipe", fill(tmp_path, {"plan": line}) / "plan")


def test_columns_are_fields(tmp_path):
    fill(tmp_path, {"t.csv": 'id,caption,txt,@jpg\n1,"a, b",plain,x.jpg\n', "x.jpg": "image"})
    assert read("csv", tmp_path / "t.csv", key_from="col:id")[0] == [
        {"__key__": "1", "id": "1", "caption.txt": "a, b", "txt": "plain", "jpg": b"image"}
    ]
    assert read("csv", tmp_path / "t.csv", fields={"jpg": "@@jpg", "txt": "caption"})[0] == [
        {"__key__": "000000000", "jpg": b"image", "txt": "a, b"}
    ]


def test_lines_of_json(tmp_path):
    rows = [{"uid": "a.b", "caption": "x", "n": 3, "box": [1, 2], "none": None}]
    fill(tmp_path, {"t.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    assert read("jsonl", tmp_path / "t.jsonl", key_from="col:uid", dots="last", columns=["caption", "n", "box", "none"])[0] == [
        {"__key__": "a_b", "caption.txt": "x", "n.cls": b"3", "box.json": b"[1, 2]"}
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "a,b\n1\n", "line 2 has another number of columns"),
        ("t.csv", "a,b\n1,2,3\n", "line 2 has another number of columns"),
        ("t.csv", "a,a\n1,2\n", "the same name"),
        ("t.csv", "", "no header"),
        ("t.csv", "id,t\na,1\n", "--field id.txt=id"),
        ("t.tsv", "a\n\udcff\n", "cannot be read"),
        ("t.jsonl", "{}\n[1]\n", "line 2 is no JSON object"),
        ("t.jsonl", "{\n", "line 1 is no JSON"),
    ],
)
def test_tables_that_are_damaged(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises((SampleError, SpecError), match=message):
        read(guess_kind(name), tmp_path / name)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("dir", {"columns": ["a"]}),
        ("csv", {"group_by": "dirname"}),
        ("csv", {"key_from": "col:no"}),
        ("csv", {"key_from": "{row}"}),
        ("csv", {"columns": ["no"]}),
        ("dir", {"group_by": "folder"}),
        ("rows", {}),
    ],
)
def test_arguments_that_make_no_sense(tmp_path, kind, options):
    fill(tmp_path, {"a.csv": "x\n1\n"})
    with pytest.raises(SpecError):
        read(kind, tmp_path / "a.csv" if kind == "csv" else tmp_path, **options)


def drafts(*names):
    return [Draft(name.split(".")[0], {name.split(".", 1)[1]: b""}, name) for name in names]


def test_required_fields():
    dropped, kept = Counter(), Counter()
    with pytest.raises(SampleError, match=r"b\.txt has no jpg;png, but txt"):
        list(require_fields(drafts("a.jpg", "b.txt"), ["jpg;png"], "fail", dropped, kept))
    assert [draft.key for draft in require_fields(drafts("a.png", "b.txt"), ["jpg;png"], "drop", dropped, kept)] == ["a"]
    assert [draft.key for draft in require_fields(drafts("a.png", "b.txt"), ["jpg;png"], "warn", dropped, kept)] == ["a", "b"]
    assert dropped == kept == {"without jpg;png": 1}


def test_keys_that_come_again():
    dropped = Counter()
    with pytest.raises(SampleError, match="another one had before"):
        list(keep_keys_apart(drafts("a.x", "a.x"), "fail", dropped))
    assert [draft.key for draft in keep_keys_apart(drafts("a.x", "a-1.x", "a.x", "a.x"), "rename", dropped)] == [
        "a",
        "a-1",
        "a-2",
        "a-3",
    ]
    assert [draft.key for draft in keep_keys_apart(drafts("a.x", "a.x"), "drop", dropped)] == ["a"]
    assert dropped == {"key that another one had before": 1}


def test_what_bytes_are_is_seen_from_how_they_begin():
    with io.BytesIO() as file:
        Image.new("RGB", (2, 2)).save(file, "JPEG")
        assert guess_extension(file.getvalue()) == "jpg"
    assert guess_extension(b"RIFF\0\0\0\0WAVEfmt ") == "wav"
    assert guess_extension(b"fLaC\0") == "flac"
    assert guess_extension(b"\0\0\0\x18ftypmp42") == "mp4"
    assert guess_extension(b"anything") == "bin"


def test_names_that_begin_with_a_dot_and_a_slash_are_not_hidden(tmp_path):
    fill(tmp_path / "in", {"1.txt": "one", "a/2.txt": "two", ".a/3.txt": "x"})
    with tarfile.open(tmp_path / "a.tar", "w") as archive:  # as `tar -C in -cf a.tar .`
        for name in (".", "./1.txt", "./a", "./a/2.txt", "./.a/3.txt"):
            archive.add(tmp_path / "in" / name, name, recursive=False)
    (tmp_path / "plan").write_text("./b/1.txt text:one\n../2.txt text:two\n")
    expected = [{"__key__": "1", "txt": b"one"}, {"__key__": "a/2", "txt": b"two"}]
    assert read("tar", tmp_path / "a.tar") == (expected, {"hidden file": 1})
    assert [sample["__key__"] for sample in read("recipe", tmp_path / "plan")[0]] == ["./b/1", "../2"]


FIRST = make_shard([{"__key__": f"{n}", "txt": b"x" * 700} for n in range(3)])[: 3 * 1536]
END = bytes(1024)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (FIRST + b"\1" * 512 + END, TarHeaderError, "the checksum of a header is wrong"),
        (FIRST, TruncatedTarError, "without an end-of-archive mark"),
        (FIRST + FIRST[:300], TruncatedTarError, "ends in a header"),
        (FIRST + bytes(512) + FIRST + END, TarHeaderError, "a single zero block"),
        (FIRST[:2100], TarError, "the archive is damaged: unexpected end of data"),
        (b"LZIP\1" + b"\0" * 2000, TarHeaderError, "no tar archive"),
        (gzip.compress(FIRST + END)[:-4], TruncatedTarError, "the gzip stream ends too early"),
    ],
)
def test_an_archive_that_is_not_whole_is_an_error(tmp_path, data, error, message):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(error, match=message):
        read("tar", tmp_path / "a.tar")


@pytest.mark.parametrize(
    "data", [FIRST + END * 3, FIRST + bytes(512), gzip.compress(FIRST + END) + b"behind", FIRST + END + b"\1" * 900]
)
def test_what_may_stand_behind_an_archive(tmp_path, data):
    (tmp_path / "a.tar").write_bytes(data)
    assert len(read("tar", tmp_path / "a.tar")[0]) == 3


def test_archives_behind_each_other_are_read_to_the_last(tmp_path):
    second = make_shard([{"__key__": "b", "txt": b"y"}])
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(FIRST + END * 5 + second))
    assert [sample["__key__"] for sample in read("tar", tmp_path / "a.tar.gz")[0]] == ["0", "1", "2", "b"]


def test_the_rest_of_a_file_of_another_volume_is_no_file(tmp_path):
    rest = tarfile.TarInfo("a.txt")
    rest.type, rest.size = b"M", 4
    (tmp_path / "a.tar").write_bytes(rest.tobuf(tarfile.GNU_FORMAT) + b"rest" + bytes(508) + END)
    with pytest.raises(SampleError, match="neither a file nor a link"):
        read("tar", tmp_path / "a.tar")
