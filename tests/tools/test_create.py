"""`create` writes shards: all that is there comes back, the same bytes each time, and nothing is lost in silence."""

import json
import random
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncwds as wds
from asyncwds.errors import EncodeError, SampleError, SpecError
from asyncwds.tools import Creation, Outputs, create_shards


def fill(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read_all(folder):
    return [
        {name: value for name, value in sample.items() if not name.startswith("__") or name == "__key__"}
        for path in sorted(folder.glob("*.tar"))
        for sample in wds.WebDataset(str(path), shardshuffle=False, empty_check=False)
    ]


@pytest.fixture
def images(tmp_path):
    return fill(tmp_path / "data", {f"{kind}/{n}.jpg": f"{kind}{n}".encode() for kind in ("cat", "dog") for n in range(6)})


def test_folders_of_classes_to_shards(tmp_path, images):
    outputs = Outputs(target=f"{tmp_path}/train-{{shard:06d}}.tar", max_count=5)
    report = create_shards(images, outputs, Creation(kind="images", shuffle=True, seed=1))
    assert [shard["samples"] for shard in report.shards] == [5, 5, 2]
    assert (report.samples_in, report.samples_out, report.notes["classes"]) == (12, 12, ["cat", "dog"])
    samples = read_all(tmp_path)
    assert sorted(sample["__key__"] for sample in samples) == sorted(f"{kind}/{n}" for kind in ("cat", "dog") for n in range(6))
    assert all(sample["cls"] == (b"0" if "cat" in sample["__key__"] else b"1") for sample in samples)
    assert [sample["__key__"] for sample in samples] != sorted(sample["__key__"] for sample in samples)


def test_the_same_source_and_seed_are_the_same_bytes(tmp_path, images):
    written = []
    for name in ("a.tar", "b.tar"):
        create_shards(images, Outputs(target=str(tmp_path / name)), Creation(shuffle=True, seed=7))
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert {(info.mtime, info.uid, info.gid, info.uname, info.mode) for info in archive} == {(0, 0, 0, "", 0o644)}


def test_a_shard_for_each_group(tmp_path, images):
    outputs = Outputs(target=f"{tmp_path}/{{shard}}.tar")
    report = create_shards(images, outputs, Creation(group_by="dirname", by_group=True, window=3))
    assert [(shard["samples"]) for shard in report.shards] == [4, 4]
    first = read_all(tmp_path)[0]
    assert first == {"__key__": "cat/0", "0.jpg": b"cat0", "1.jpg": b"cat1", "2.jpg": b"cat2"}


def test_what_cannot_be_read_is_an_error_or_reported(tmp_path):
    plan = fill(tmp_path, {"plan": b"a.txt text:x\nb.txt missing.txt\nc.txt text:y\n"}) / "plan"
    target = tmp_path / "out.tar"
    with pytest.raises(SampleError, match="field txt of b.txt cannot be read.*missing.txt.*key=b"):
        create_shards(plan, Outputs(target=str(target)), Creation(kind="recipe"))
    assert not target.exists()
    report = create_shards(plan, Outputs(target=str(target)), Creation(kind="recipe", on_error="skip"))
    assert (report.samples_in, report.samples_out, sum(report.dropped.values()), len(report.damaged)) == (3, 2, 1, 1)
    assert [sample["__key__"] for sample in read_all(tmp_path)] == ["a", "c"]
    stopping = Creation(kind="recipe", on_error="stop")
    report = create_shards(plan, Outputs(target=str(target), force=True), stopping)
    assert (report.samples_in, report.samples_out, report.status) == (2, 1, 4)
    with pytest.raises(SampleError, match="1 errors are more than max_errors, 0"):
        create_shards(plan, Outputs(target=str(target), force=True), Creation(kind="recipe", on_error="skip", max_errors=0))
    with pytest.raises(SpecError, match="others are under way"):
        create_shards(plan, Outputs(target=str(target), force=True), stopping, jobs=2)


def test_what_is_required(tmp_path):
    fill(tmp_path / "data", {"a.jpg": b"", "a.txt": b"", "b.jpg": b""})
    target = str(tmp_path / "out.tar")
    with pytest.raises(SampleError, match="b.jpg has no txt"):
        create_shards(tmp_path / "data", Outputs(target=target), Creation(require=["jpg", "txt"]))
    report = create_shards(tmp_path / "data", Outputs(target=target), Creation(require=["jpg", "txt"], missing="drop"))
    assert (report.samples_out, dict(report.dropped)) == (1, {"without txt": 1})
    report = create_shards(tmp_path / "data", Outputs(target=target, force=True), Creation(require=["jpg", "txt"], missing="warn"))
    assert (report.samples_out, report.notes) == (2, {"kept without txt": 1})


def test_lines_of_text_and_a_limit(tmp_path):
    fill(tmp_path, {"lines": b"one\ntwo\r\n\nfour"})
    report = create_shards(tmp_path / "lines", Outputs(target=str(tmp_path / "out.tar")), Creation(kind="lines", limit=3))
    assert report.samples_out == 3
    assert [sample["txt"] for sample in read_all(tmp_path)] == [b"one", b"two", b""]


def test_rows_of_json_shuffled(tmp_path):
    rows = [{"uid": f"u{n}", "text": f"text {n}", "n": n} for n in range(50)]
    fill(tmp_path, {"t.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in rows)})
    creation = Creation(key_from="col:uid", fields={"txt": "text", "json": "n"}, shuffle=True, seed=3)
    create_shards(tmp_path / "t.jsonl", Outputs(target=str(tmp_path / "out.tar")), creation)
    samples = read_all(tmp_path)
    order = list(range(50))
    random.Random(3).shuffle(order)
    assert samples == [{"__key__": f"u{n}", "json": str(n).encode(), "txt": f"text {n}".encode()} for n in order]


def test_processes_change_nothing(tmp_path):
    """Not the bytes, and not the report, also where samples cannot be read."""
    lines = [f"{n // 70}/{n:03d}.txt {'file:missing' if n % 40 == 3 else 'text:' + 'words ' * n}\n" for n in range(150)]
    fill(tmp_path, {"plan": "".join([*lines, "0/_x_settings.json text:{}\n"]).encode()})
    creation = Creation(kind="recipe", group_by="dirname", by_group=True, broadcast=["_*_settings.json"], on_error="skip")
    found = []
    for jobs in (1, 2):
        outputs = Outputs(target=f"{tmp_path}/{{shard:03d}}.tar", force=True, max_size=20_000)
        report = create_shards(tmp_path / "plan", outputs, creation, jobs=jobs)
        found.append((report.as_dict(), [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))]))
    assert found[0] == found[1]
    assert len(report.shards) > 5
    assert len(report.damaged) == 4


def test_an_error_in_a_process_leaves_the_shards_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = fill(tmp_path, {"plan": b"a.txt text:x\nb.txt text:y\nc.txt missing\n"}) / "plan"
    with pytest.raises(SampleError, match="field txt of c.txt cannot be read.*missing.*key=c"):
        create_shards(plan, Outputs(target=f"{tmp_path}/{{shard}}.tar", max_count=1), Creation(kind="recipe"), jobs=2)
    assert [sample["__key__"] for sample in read_all(tmp_path)] == ["a"]


def test_shards_that_a_journal_has_are_not_written_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = fill(tmp_path, {"plan": b"a.txt text:x\nb.txt text:y\nc.txt file:later\n"}) / "plan"
    outputs = Outputs(target=f"{tmp_path}/{{shard}}.tar", max_count=1, resume=True, post="echo {path} >> made")
    with pytest.raises(SampleError):
        create_shards(plan, outputs, Creation(kind="recipe"))
    fill(tmp_path, {"later": b"z"})
    report = create_shards(plan, outputs, Creation(kind="recipe"))
    assert [shard["samples"] for shard in report.shards] == [1, 1, 1]
    assert (tmp_path / "made").read_text().split() == [f"{tmp_path}/{n}.tar" for n in range(3)]
    with pytest.raises(SpecError, match="another|other inputs"):
        create_shards(plan, outputs, Creation(kind="recipe", limit=2))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"by_group": True}, SpecError),
        ({"window": 0}, SpecError),
        ({"kind": "xml"}, SpecError),
        ({"on_error": "keep"}, SpecError),
    ],
)
def test_options_that_make_no_sense(options, error):
    with pytest.raises(error):
        Creation(**options)


def test_names_that_would_not_come_back_are_refused(tmp_path):
    fill(tmp_path, {"t.jsonl": b'{"uid": "a.b", "t": "x"}\n{"uid": "c", "t": {"no": 1}}\n'})
    with pytest.raises((SampleError, EncodeError), match="would come back"):
        create_shards(
            tmp_path / "t.jsonl", Outputs(target=str(tmp_path / "out.tar")), Creation(key_from="col:uid", fields={"txt": "t"})
        )


NAMES = st.text("abAB01._-é", min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=2).map("/".join), st.binary(max_size=600), max_size=12))
def test_each_file_is_in_a_sample_or_in_the_report(tmp_path_factory, files):
    """Whatever names files have: those of samples come back byte for byte, others are counted."""
    folder = tmp_path_factory.mktemp("files")
    written = {}
    for name, data in files.items():
        path = folder / "data" / name
        if (
            any(part in (".", "..") for part in name.split("/"))
            or any(parent.is_file() for parent in path.parents)
            or path.is_dir()
        ):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written[name] = data
    (folder / "data").mkdir(exist_ok=True)
    try:
        report = create_shards(folder / "data", Outputs(target=str(folder / "out.tar")))
    except SampleError as error:
        assert "both have field" in str(error) or "would come back" in str(error)  # noqa: PT017
        return
    back = {(sample["__key__"], name): value for sample in read_all(folder) for name, value in sample.items() if name != "__key__"}
    assert len(back) + sum(report.left_out.values()) == len(written)
    assert all(written_as(written, key, name) == value for (key, name), value in back.items())


def written_as(written, key, field):
    (found,) = [data for name, data in written.items() if name.startswith(f"{key}.") and name[len(key) + 1 :].lower() == field]
    return found
