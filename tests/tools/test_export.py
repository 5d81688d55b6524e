"""`export`: rows that say what the samples hold, whole files, no paths out of the folder."""

import base64
import csv
import io
import json

import pytest

from asyncwds.errors import DuplicateFieldError, FetchError, SampleError, SpecError
from asyncwds.testing import make_shard
from asyncwds.tools import Inputs, export_samples

SAMPLES = [
    {"__key__": "a/0", "cls": b"3", "json": b'{"width": 5, "box": {"x": 1}}', "jpg": b"\xff\xd8\0", "txt": 'caf\xe9, "x"'.encode()},
    {"__key__": "a/1", "cls": b"-1", "json": b'{"height": 2.5}', "txt": b"line\nline"},
]


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "in.tar"
    path.write_bytes(make_shard(SAMPLES))
    return path


def run(shard, name, **options):
    target = shard.parent / name
    report = export_samples(Inputs(urls=[str(shard)]), str(target), **options)
    assert (report.samples_in, report.samples_out) == (2, 2)
    return target


def test_lines_of_json(shard):
    rows = [json.loads(line) for line in run(shard, "out.jsonl").read_text().splitlines()]
    assert rows == [
        {
            "__key__": "a/0",
            "cls": 3,
            "json": {"width": 5, "box": {"x": 1}},
            "jpg": base64.b64encode(b"\xff\xd8\0").decode(),
            "txt": 'café, "x"',
        },
        {"__key__": "a/1", "cls": -1, "json": {"height": 2.5}, "txt": "line\nline"},
    ]


def test_columns_of_all_rows(shard):
    text = run(shard, "out.csv", flatten=["json"], binary="skip").read_text()
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"__key__": "a/0", "cls": "3", "json.width": "5", "json.box.x": "1", "txt": 'café, "x"', "json.height": ""},
        {"__key__": "a/1", "cls": "-1", "json.width": "", "json.box.x": "", "txt": "line\nline", "json.height": "2.5"},
    ]


def test_files(shard, tmp_path):
    folder = run(shard, "files", format="files")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == sorted(
        f"{sample['__key__']}.{name}" for sample in SAMPLES for name in sample if name != "__key__"
    )
    assert (folder / "a/0.jpg").read_bytes() == b"\xff\xd8\0"
    with pytest.raises(SampleError, match="already"):
        run(shard, "files", format="files")
    run(shard, "files", format="files", force=True)


@pytest.mark.parametrize("key", ["../out", "/abs", "a/../../b"])
def test_no_file_outside_of_the_folder(tmp_path, key):
    path = tmp_path / "in.tar"
    path.write_bytes(make_shard([{"__key__": key, "txt": b"x"}]))
    with pytest.raises(SampleError, match="no path within"):
        export_samples(Inputs(urls=[str(path)]), str(tmp_path / "deep" / "folder"), format="files")


def test_no_file_through_a_link(tmp_path):
    path = tmp_path / "in.tar"
    path.write_bytes(make_shard([{"__key__": "link/a", "txt": b"x"}]))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    with pytest.raises(SampleError, match="leads out of the folder"):
        export_samples(Inputs(urls=[str(path)]), str(tmp_path / "folder"), format="files")
    assert not (tmp_path / "a.txt").exists()


@pytest.mark.parametrize("name", ["out.jsonl", "files", "{name}.csv"])
def test_a_dry_run_writes_nothing(shard, tmp_path, name):
    form = "files" if name == "files" else None
    report = export_samples(Inputs(urls=[shard]), str(tmp_path / "dry" / name), format=form, dry_run=True)
    assert (report.samples_in, report.samples_out, (tmp_path / "dry").exists()) == (2, 2, False)


def test_a_file_that_cannot_be_written_is_not_there(shard, tmp_path):
    (tmp_path / "files/a").mkdir(parents=True)
    (tmp_path / "files/a/0.cls").symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"No space left.*0\.cls"):
        export_samples(Inputs(urls=[shard]), str(tmp_path / "files"), format="files", force=True)
    assert not (tmp_path / "files/a/0.cls").is_symlink()
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(FetchError, match="taken/sub"):
        export_samples(Inputs(urls=[shard]), str(tmp_path / "taken/sub"), format="files")


def test_a_table_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "in.tar"
    path.write_bytes(make_shard([*SAMPLES, {"__key__": "z", "json": b"{no"}]))
    with pytest.raises(SampleError, match="field json is no JSON.*key=z"):
        export_samples(Inputs(urls=[str(path)]), str(tmp_path / "out.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()


def test_nothing_is_replaced_unless_asked_for(shard):
    run(shard, "out.jsonl")
    with pytest.raises(SpecError, match="there is such a file already"):
        run(shard, "out.jsonl")
    run(shard, "out.jsonl", force=True)


@pytest.mark.parametrize(("name", "options"), [("out.xml", {}), ("out.csv", {"binary": "bytes"}), ("out", {"format": "xml"})])
def test_options_that_make_no_sense(shard, name, options):
    with pytest.raises(SpecError):
        run(shard, name, **options)


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ('{"a": "\\ud800"}', "out.csv", "half a character"),
        ("[" * 50_000 + "]" * 50_000, "out.jsonl", "is no JSON"),
    ],
)
def test_json_that_a_table_cannot_have(tmp_path, value, name, message):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "0", "json": value}]))
    with pytest.raises(SampleError, match=message):
        export_samples(Inputs(urls=[str(tmp_path / "a.tar")]), str(tmp_path / name))
    assert not (tmp_path / name).exists()


def test_halves_of_characters_are_escapes_in_lines_of_json(tmp_path):
    (tmp_path / "a.tar").write_bytes(make_shard([{"__key__": "0", "json": '{"a": "\\ud800"}'}]))
    export_samples(Inputs(urls=[str(tmp_path / "a.tar")]), str(tmp_path / "a.jsonl"))
    assert json.loads((tmp_path / "a.jsonl").read_bytes()) == {"__key__": "0", "json": {"a": "\ud800"}}


def test_what_is_damaged_is_passed_over_and_counted(tmp_path):
    shard = make_shard([{"__key__": "0", "json": "{"}, {"__key__": "1", "json": "{}"}])
    (tmp_path / "a.tar").write_bytes(shard[:2048] + make_shard([{"__key__": "2", "txt": "a"}])[:1024] * 2 + bytes(1024))
    report = export_samples(Inputs(urls=[str(tmp_path / "a.tar")], on_error="skip"), str(tmp_path / "a.jsonl"))
    assert (report.samples_in, report.samples_out, report.dropped) == (3, 1, {"damaged": 2})
    assert [line.partition(" (url")[0] for line in report.damaged] == [
        "the field json is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "member '2.txt' gives a field that its sample already has",
    ]
    with pytest.raises(DuplicateFieldError):
        export_samples(Inputs(urls=[str(tmp_path / "a.tar")], on_error="fail"), str(tmp_path / "files"), format="files")
