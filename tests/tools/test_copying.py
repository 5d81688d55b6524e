"""`cat`, `split` and `filter` as functions: what is copied, selected, and written."""

from __future__ import annotations

import hashlib
import json
import random
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import asyncwds as wds
from asyncwds.errors import FetchError, SampleError, SpecError, TarError, TruncatedTarError
from asyncwds.testing import FaultServer, leaks
from asyncwds.tools import Inputs, Outputs, Report, Selection, cat_shards, filter_samples, split_shards


def keys_of(members: Any) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name, _ in members))


def test_members_are_copied_byte_for_byte(numbered: Any, tmp_path: Path) -> None:
    one, two = numbered("a.tar", 9), numbered("b.tar", 4, 9)
    with leaks():
        report = cat_shards(Inputs(urls=[one, two]), Outputs(target=str(tmp_path / "out.tar")))
    bodies = [Path(path).read_bytes().rstrip(b"\0") for path in (one, two)]
    padded = [body + bytes(-len(body) % 512) for body in bodies]
    assert (tmp_path / "out.tar").read_bytes().startswith(b"".join(padded))
    assert (report.samples_in, report.samples_out, report.status) == (13, 13, 0)


@pytest.mark.parametrize("source", ["local", "gz", "http", "mixed"])
def test_all_ways_of_reading_give_the_same_bytes(source: str, numbered: Any, tmp_path: Path) -> None:
    path = numbered("a.tar", 30)
    cat_shards(Inputs(urls=[path]), Outputs(target=str(tmp_path / "local.tar")))
    other = numbered("b.tar.gz", 30, mode="w:gz") if source == "gz" else path
    with leaks(), FaultServer(tmp_path) as server:
        url = server.url(Path(other).name) if source in ("http", "mixed") else other
        inputs = Inputs(urls=[url], mix=2 if source == "mixed" else 1, io=4, memory=1 << 20)
        cat_shards(inputs, Outputs(target=str(tmp_path / "out.tar")))
    assert (tmp_path / "out.tar").read_bytes() == (tmp_path / "local.tar").read_bytes()


@pytest.mark.parametrize(
    ("selection", "kept", "dropped"),
    [
        ({"where": "json.width >= 15"}, range(15, 20), {"where": 15}),
        ({"slice": "3:9:2"}, (3, 5, 7), {"slice": 6}),
        ({"slice": "4"}, range(4), {}),
        ({"limit": 3}, range(3), {}),
        ({"limit": 0}, (), {}),
        ({"keys": ["0003", "0007", "nothing"]}, (3, 7), {"keys": 18}),
        ({"exclude_keys": ["0003"], "where": "cls == 3"}, (13,), {"exclude-keys": 1, "where": 18}),
        ({"keys": ["3", "13"], "on": "json.width"}, (3, 13), {"keys": 18}),
        ({"fields": "png"}, (), {"no fields left": 20}),
        ({"slice": "2:", "where": "cls < 5", "limit": 2}, (2, 3), {"slice": 2}),
    ],
)
def test_selection(selection: Any, kept: Any, dropped: Any, numbered: Any, members_of: Any, tmp_path: Path) -> None:
    report = filter_samples(Inputs(urls=[numbered()]), Outputs(target=str(tmp_path / "out.tar")), Selection(**selection))
    assert keys_of(members_of(tmp_path / "out.tar")) == [f"{number:04d}" for number in kept]
    assert dict(report.dropped) == dropped
    assert report.samples_in == len(list(kept)) + sum(dropped.values())


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ({"fields": "png;jpg,cls"}, ["cls", "jpg"]),
        ({"fields": "j*"}, ["json", "jpg"]),
        ({"drop": "jpg,c?s"}, ["json"]),
        ({"rename": {"image": "png;jpg"}}, ["cls", "json", "image"]),
        ({"rename": {"jpg": "json", "json": "jpg"}}, ["cls", "jpg", "json"]),
        ({"drop": "jpg", "rename": {"jpg": "json"}}, ["cls", "jpg"]),
    ],
)
def test_fields(selection: Any, names: list[str], numbered: Any, members_of: Any, tmp_path: Path) -> None:
    cat_shards(Inputs(urls=[numbered("a.tar", 1, 7)]), Outputs(target=str(tmp_path / "out.tar")), Selection(**selection))
    assert [name for name, _ in members_of(tmp_path / "out.tar")] == [f"0007.{name}" for name in names]


def test_new_members_have_no_owner_and_no_time(numbered: Any, tmp_path: Path) -> None:
    cat_shards(Inputs(urls=[numbered("a.tar", 1)]), Outputs(target=str(tmp_path / "out.tar")), Selection(rename={"x": "jpg"}))
    with tarfile.open(tmp_path / "out.tar") as archive:
        found = {info.name: (info.mtime, info.uid, info.gid, info.uname, info.mode) for info in archive}
    assert found["0000.x"] == (0, 0, 0, "", 0o644)
    assert found["0000.cls"][3] == "somebody"


def test_a_name_that_is_taken(numbered: Any, tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="has a field 'cls' already"):
        cat_shards(Inputs(urls=[numbered()]), Outputs(target=str(tmp_path / "out.tar")), Selection(rename={"cls": "jpg"}))
    assert not (tmp_path / "out.tar").exists()


def test_a_sample_share_is_the_same_in_whatever_shards(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    whole, parts = numbered("a.tar", 200), [numbered("b.tar", 100), numbered("c.tar", 100, 100)]
    found = []
    for number, urls in enumerate(([whole], parts, parts[::-1])):
        target = tmp_path / f"{number}.out.tar"
        cat_shards(Inputs(urls=urls), Outputs(target=str(target)), Selection(sample=0.25, seed=3))
        found.append(sorted(keys_of(members_of(target))))
    assert found[0] == found[1] == found[2]
    assert 30 < len(found[0]) < 70


def test_keys_from_files(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    import numpy as np

    shard = numbered()
    (tmp_path / "keys.txt").write_text("0004\n\n0002\n")
    np.save(tmp_path / "keys.npy", np.array(["0004", "0002"]))
    for name in ("keys.txt", "keys.npy"):
        cat_shards(
            Inputs(urls=[shard]), Outputs(target=str(tmp_path / "out.tar"), force=True), Selection(keys=str(tmp_path / name))
        )
        assert keys_of(members_of(tmp_path / "out.tar")) == ["0002", "0004"]


@pytest.mark.parametrize(("name", "words"), [("t.parquet", "t.parquet:COLUMN"), ("t.parquet:key", "no table in Parquet")])
@pytest.mark.needs("pyarrow")
def test_a_table_in_place_of_a_list_of_keys(name: str, words: str, numbered: Any, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing of a table")
    with pytest.raises(SpecError, match=words):
        cat_shards(Inputs(urls=[numbered()]), Outputs(target=None, dry_run=True), Selection(keys=str(tmp_path / name)))


def test_datacomp_subset(write: Any, members_of: Any, tmp_path: Path) -> None:
    """webdataset-resharder's lists: pairs of 64-bit numbers, the uid of a sample in its json."""
    import numpy as np

    rng = random.Random(4)
    uids = [f"{rng.getrandbits(128):032x}" for _ in range(40)] + [f"{7:016x}{number:016x}" for number in range(20)]
    shard = write("a.tar", [(f"{number:03d}.json", json.dumps({"uid": uid}).encode()) for number, uid in enumerate(uids)])
    wanted = [uid for number, uid in enumerate(uids) if number % 3 == 0] + ["f" * 32]
    pairs = sorted((int(uid[:16], 16), int(uid[16:], 16)) for uid in wanted)
    np.save(tmp_path / "uids.npy", np.array(pairs, dtype="u8,u8"))
    report = filter_samples(
        Inputs(urls=[shard]), Outputs(target=str(tmp_path / "out.tar")), Selection(keys=str(tmp_path / "uids.npy"), on="json.uid")
    )
    assert keys_of(members_of(tmp_path / "out.tar")) == [f"{number:03d}" for number in range(0, 60, 3)]
    assert dict(report.dropped) == {"keys": 40}


def test_split_by_count_size_and_number(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    shard = numbered("a.tar", 50)
    everything = members_of(shard)
    report = split_shards(Inputs(urls=[shard]), Outputs(target=str(tmp_path / "c-{shard:02d}.tar"), max_count=7))
    assert [each["samples"] for each in report.shards] == [7] * 7 + [1]
    assert members_of(*sorted(tmp_path.glob("c-*.tar"))) == everything
    report = split_shards(Inputs(urls=[shard]), Outputs(target=str(tmp_path / "s-%04d.tar"), max_size=30_000))
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("s-*.tar"))]
    assert sizes == [each["bytes"] for each in report.shards]
    assert max(sizes) <= 30_000
    assert members_of(*sorted(tmp_path.glob("s-*.tar"))) == everything
    report = split_shards(Inputs(urls=[shard]), Outputs(target=str(tmp_path / "n-{shard}.tar")), number=4)
    assert [each["samples"] for each in report.shards] == [12, 13, 12, 13]
    report = split_shards(Inputs(urls=[shard]), Outputs(target=str(tmp_path / "b-{shard}.tar"), max_count=20), balance=True)
    assert [each["samples"] for each in report.shards] == [16, 17, 17]


def test_split_by_ratio_is_stable(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    parts = [numbered("a.tar", 150), numbered("b.tar", 150, 150)]
    outputs = Outputs(target=str(tmp_path / "{split}-{shard}.out.tar"), force=True)
    ratio = {"train": 0.8, "val": 0.2}
    split_shards(Inputs(urls=parts[:1]), outputs, ratio=ratio)
    before = set(keys_of(members_of(tmp_path / "val-0.out.tar")))
    report = split_shards(Inputs(urls=parts), outputs, ratio=ratio)
    after = set(keys_of(members_of(tmp_path / "val-0.out.tar")))
    assert before == {key for key in after if int(key) < 150}
    assert 30 < len(after) < 90
    assert report.samples_out == 300
    left = split_shards(Inputs(urls=parts), outputs, ratio={"some": 0.5})
    assert left.samples_out + left.dropped["in no group"] == 300
    assert 100 < left.samples_out < 200


def test_split_by_field(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    report = split_shards(
        Inputs(urls=[numbered()]), Outputs(target=str(tmp_path / "{split}/{shard}.tar"), dry_run=True), by_field="cls"
    )
    assert len(report.shards) == 10
    split_shards(Inputs(urls=[numbered()]), Outputs(target=str(tmp_path / "{split}-{shard}.tar"), max_count=1), by_field="cls")
    assert keys_of(members_of(tmp_path / "3-0.tar", tmp_path / "3-1.tar")) == ["0003", "0013"]
    with pytest.raises(SampleError, match="cannot be part of the name"):
        split_shards(Inputs(urls=[numbered()]), Outputs(target=str(tmp_path / "{split}-{shard}.tar")), by_field="'../' + str(cls)")
    assert split_shards(Inputs(urls=[numbered()]), Outputs(target=None, dry_run=True), by_field="json.none").dropped == {
        "in no group": 20
    }


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("{index:09d}", ["000000000", "000000001", "000000002", "000000003"]),
        ("{shard}/{key}", ["a/0000", "a/0001", "b/0002", "b/0003"]),
        ("x{ordinal}-{key}", ["x0-0000", "x1-0001", "x0-0002", "x1-0003"]),
        ("s/^00(..)/img_\\1/", ["img_00", "img_01", "img_02", "img_03"]),
    ],
)
def test_rekey(rule: str, names: list[str], numbered: Any, members_of: Any, tmp_path: Path) -> None:
    urls = [numbered("a.tar", 2), numbered("b.tar", 2, 2)]
    cat_shards(Inputs(urls=urls), Outputs(target=str(tmp_path / "out.tar")), rekey=rule)
    assert keys_of(members_of(tmp_path / "out.tar")) == names


def test_mix_takes_a_sample_of_each_shard_in_turn(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    urls = [numbered("a.tar", 3), numbered("b.tar", 3, 3), numbered("c.tar", 3, 6)]
    cat_shards(Inputs(urls=urls, mix=2), Outputs(target=str(tmp_path / "out.tar")))
    assert [int(key) for key in keys_of(members_of(tmp_path / "out.tar"))] == [0, 3, 1, 4, 2, 5, 6, 7, 8]


def test_parts_make_the_whole(numbered: Any) -> None:
    urls = [numbered(f"{number}.tar", 3, 3 * number) for number in range(5)]
    found = [Inputs(urls=urls, part=(index, 3)).shards() for index in range(3)]
    assert found == [urls[0::3], urls[1::3], urls[2::3]]


def test_two_samples_in_a_row_with_the_same_key(write: Any, members_of: Any, tmp_path: Path) -> None:
    """Side by side they would come back as one: half of them would be lost without a word."""
    urls = [write(f"{name}.tar", [("k.txt", name.encode())]) for name in "abc"]
    with pytest.raises(SampleError, match="two samples in a row"):
        cat_shards(Inputs(urls=urls), Outputs(target=str(tmp_path / "out.tar")))
    assert not (tmp_path / "out.tar").exists()
    report = cat_shards(Inputs(urls=urls), Outputs(target=str(tmp_path / "out.tar"), same_key="number"))
    assert report.renumbered == 2
    assert [sample["txt"] for sample in wds.WebDataset(str(tmp_path / "out.tar"), shardshuffle=False)] == [b"a", b"b", b"c"]


def test_what_is_left_out_is_reported(write: Any, tmp_path: Path) -> None:
    shard = write("a.tar", [("__meta__/x.json", b"{}"), ("README", b"no key"), ("a.txt", b"1"), (".hidden", b"2")])
    with tarfile.open(shard, "a") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE):
            info = tarfile.TarInfo("thing")
            info.type = kind
            archive.addfile(info)
    report = cat_shards(Inputs(urls=[shard]), Outputs(target=str(tmp_path / "out.tar")))
    assert sorted(report.left_out.items()) == [
        ("links, folders and other entries that are no files", 2),
        ("members that belong to no sample", 3),
    ]


@pytest.mark.parametrize("server", [False, True])
def test_truncated_input_is_an_error_or_reported(server: bool, numbered: Any, members_of: Any, tmp_path: Path) -> None:
    """tarsort and tarp went on without a word, with exit status 0."""
    path = Path(numbered("a.tar", 20))
    path.write_bytes(path.read_bytes()[:20_000])
    other = numbered("b.tar", 3, 50)
    with FaultServer({"a.tar": path.read_bytes(), "b.tar": Path(other).read_bytes()}) as bucket, leaks():
        urls = [bucket.url("a.tar"), bucket.url("b.tar")] if server else [str(path), other]
        with pytest.raises(TruncatedTarError):
            cat_shards(Inputs(urls=urls), Outputs(target=str(tmp_path / "out.tar")))
        assert not (tmp_path / "out.tar").exists()
        report = cat_shards(Inputs(urls=urls, on_error="skip"), Outputs(target=str(tmp_path / "out.tar")))
        assert (report.status, len(report.damaged)) == (4, 1)
        assert "ends" in report.damaged[0] or "beyond the end" in report.damaged[0]
        keys = [int(key) for key in keys_of(members_of(tmp_path / "out.tar"))]
        assert keys == [*range(len(keys) - 3), 50, 51, 52]
        assert len(keys) > 5
        stopped = cat_shards(Inputs(urls=urls, on_error="stop"), Outputs(target=None, dry_run=True))
        assert stopped.samples_out == report.samples_out - 3
        with pytest.raises(TarError):
            cat_shards(Inputs(urls=urls, on_error="skip", max_errors=0), Outputs(target=None, dry_run=True))


def test_a_damaged_field_under_a_condition(write: Any) -> None:
    shard = write("a.tar", [("a.json", b"{}"), ("b.json", b"{"), ("c.json", b"{}")])
    with pytest.raises(SampleError):
        filter_samples(Inputs(urls=[shard]), Outputs(target=None, dry_run=True), Selection(where="json.x is None"))
    report = filter_samples(
        Inputs(urls=[shard], on_error="skip"), Outputs(target=None, dry_run=True), Selection(where="json.x is None")
    )
    assert (report.samples_out, dict(report.dropped), report.status) == (2, {"damaged": 1}, 4)


def test_nothing_is_replaced_unless_asked(numbered: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.tar"
    target.write_bytes(b"precious")
    with pytest.raises(SpecError, match="--force"):
        cat_shards(Inputs(urls=[numbered()]), Outputs(target=str(target)))
    assert target.read_bytes() == b"precious"
    cat_shards(Inputs(urls=[numbered()]), Outputs(target=str(target), force=True))
    assert target.stat().st_size > 100


def test_shards_in_a_bucket_are_whole_or_not_there(numbered: Any, write: Any, members_of: Any) -> None:
    shards = [numbered("a.tar", 10), write("b.tar", [("x.json", b"{")])]
    with FaultServer({}, writable=True) as bucket, leaks():
        outputs = Outputs(target=bucket.url() + "{shard}.tar", max_count=4)
        with pytest.raises(SampleError):
            split_shards(Inputs(urls=shards), outputs, Selection(where="has(json.width)"))
        assert bucket.get("2.tar") is None
        first = bucket.get("0.tar")
        assert keys_of(members_of(first)) == ["0000", "0001", "0002", "0003"]
        with pytest.raises(SpecError, match="--force"):
            split_shards(Inputs(urls=shards[:1]), outputs)
        split_shards(Inputs(urls=shards[:1]), Outputs(target=bucket.url() + "{shard}.tar", max_count=4, force=True))
        assert bucket.get("0.tar") == first
        assert len(members_of(bucket.get("2.tar"))) == 6


def test_post_commands(numbered: Any, tmp_path: Path) -> None:
    """tarp filled in the first %s only, and did not look at the exit status: uploads were lost."""
    (tmp_path / "it's up").mkdir()
    outputs = Outputs(
        target=str(tmp_path / "it's up" / "{shard}.tar"),
        max_count=8,
        post=f"echo {{count}} {{size}} {{sha256}} %s >> '{tmp_path}/log' && cp %s '{tmp_path}/{{count}}.copy' && test -f {{path}}",
        delete_after=True,
    )
    report = split_shards(Inputs(urls=[numbered()]), outputs)
    log = (tmp_path / "log").read_text().splitlines()
    assert log == [f"{each['samples']} {each['bytes']} {each['sha256']} {each['url']}" for each in report.shards]
    assert hashlib.sha256((tmp_path / "4.copy").read_bytes()).hexdigest() == report.shards[-1]["sha256"]
    assert list((tmp_path / "it's up").iterdir()) == []
    with pytest.raises(FetchError, match="ended with status 3"):
        cat_shards(Inputs(urls=[numbered()]), Outputs(target=str(tmp_path / "x.tar"), post="exit 3"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Outputs(target=None), "where to write"),
        (lambda: Outputs(target="out.tar", max_count=3), "need a pattern"),
        (lambda: Outputs(target="{shard.__class__}.tar"), "there is no {shard.__class__}"),
        (lambda: Outputs(target="{0}.tar"), "there is no {0}"),
        (lambda: Outputs(target="{shard:x!}.tar"), "no pattern"),
        (lambda: Outputs(target="a-%d-%d.tar"), "one place for a number"),
        (lambda: Outputs(target="a.tar", post="{nothing}"), "there is no {nothing}"),
        (lambda: Outputs(target="a.tar", delete_after=True), "post command"),
        (lambda: Outputs(target="a.tar", resume=True).journal(None), "can be resumed"),
        (lambda: Selection(slice="-3:").open(Report()), "a slice is"),
        (lambda: Selection(slice="::0").open(Report()), "a slice is"),
        (lambda: Selection(fields="a,,b").open(Report()), "names of fields"),
        (lambda: split_shards(Inputs(urls=["-"]), Outputs(target="{shard}", dry_run=True), number=2), "standard input"),
        (lambda: split_shards(Inputs(urls=["a"]), Outputs(target="{shard}")), "max_count, max_size or number"),
        (lambda: split_shards(Inputs(urls=["a"]), Outputs(target="{shard}"), ratio={"a": 0.7, "b": 0.4}), "make 1.1"),
        (lambda: split_shards(Inputs(urls=["a"]), Outputs(target="{shard}"), ratio={"a": 0.7}), "{split}"),
        (lambda: cat_shards(Inputs(urls=["a"]), Outputs(target="x.tar"), rekey="constant"), "a rule for keys"),
        (lambda: cat_shards(Inputs(urls=["a"]), Outputs(target="x.tar"), rekey="s/(/x/"), "no substitution"),
    ],
)
def test_what_makes_no_sense(make: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words.replace("{", "\\{").replace("}", "\\}").replace("(", "\\(")):
        make()


def test_large_members_in_many_chunks(write: Any, members_of: Any, tmp_path: Path) -> None:
    members = [(f"{number}.bin", random.Random(number).randbytes(3_000_000 + number)) for number in range(4)]
    shard = write("a.tar", members)
    with leaks(), FaultServer(tmp_path) as server:
        for url in (shard, server.url("a.tar")):
            cat_shards(Inputs(urls=[url], memory=4 << 20), Outputs(target=str(tmp_path / "out.tar"), force=True))
            assert members_of(tmp_path / "out.tar") == members


def test_sparse_and_odd_headers_come_through(tmp_path: Path, members_of: Any) -> None:
    """A sparse member is copied as it is, and expanded where its header has to be new; PAX records for all are written out."""
    import subprocess

    (tmp_path / "s.bin").write_bytes(b"begin" + bytes(200_000) + b"end")
    with (tmp_path / "h.bin").open("wb") as file:
        file.seek(300_000)
        file.write(b"end")
    (tmp_path / ("long" * 60 + ".txt")).write_bytes(b"x")
    command = [
        "tar",
        "-C",
        str(tmp_path),
        "--sparse",
        "--format=gnu",
        "-cf",
        str(tmp_path / "a.tar"),
        "h.bin",
        "s.bin",
        "long" * 60 + ".txt",
    ]
    subprocess.run(command, check=True)
    for selection in (Selection(), Selection(rename={"data": "bin"})):
        cat_shards(Inputs(urls=[str(tmp_path / "a.tar")]), Outputs(target=str(tmp_path / "out.tar"), force=True), selection)
        samples = list(wds.WebDataset(str(tmp_path / "out.tar"), shardshuffle=False))
        values = [next(value for name, value in sample.items() if name in ("bin", "data", "txt")) for sample in samples]
        assert Counter(map(len, values)) == {300_003: 1, 200_008: 1, 1: 1}
        assert values[0] == bytes(300_000) + b"end"


def test_global_pax_records_go_into_each_header(tmp_path: Path, members_of: Any, write: Any) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"path": "same/name.txt"}) as archive:
        info = tarfile.TarInfo("other.txt")
        info.size = 3
        import io

        archive.addfile(info, io.BytesIO(b"abc"))
    cat_shards(Inputs(urls=[write("b.tar", [("k.txt", b"1")]), str(tmp_path / "a.tar")]), Outputs(target=str(tmp_path / "out.tar")))
    assert members_of(tmp_path / "out.tar") == [("k.txt", b"1"), ("same/name.txt", b"abc")]


def test_what_goes_to_a_bucket_is_not_read_far_ahead() -> None:
    inputs = Inputs(urls=["a.tar"])
    assert inputs.copied_to("s3://bucket/{shard}.tar").memory < inputs.memory
    assert all(inputs.copied_to(target) is inputs for target in ("b.tar", "-", None))
    small, mixed = Inputs(urls=["a.tar"], memory=1000), Inputs(urls=["a.tar", "b.tar"], mix=2)
    assert (small.copied_to("s3://b/a.tar").memory, mixed.copied_to("s3://b/a.tar")) == (1000, mixed)
