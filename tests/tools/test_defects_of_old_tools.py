"""What went wrong with the tools that these replace, each under the name of that tool: none of it comes back."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import asyncwds as wds
from asyncwds.cli import main
from asyncwds.errors import FetchError
from asyncwds.tools import Command, Inputs, Outputs, proc_samples, split_shards

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command line in this process: its exit status, what it wrote and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(line: str, *more: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(main, [*line.split(), *more])
        return done.exit_code, done.stdout, done.stderr

    return run


def keys_of(*paths: str) -> list[str]:
    return [sample["__key__"] for path in paths for sample in wds.WebDataset(path, shardshuffle=False, empty_check=False)]


def test_tarproc_could_not_start_and_had_the_time_in_its_bytes(numbered: Any, tmp_path: Path) -> None:
    written = []
    for name in ("x.tar", "y.tar"):
        outputs = Outputs(target=str(tmp_path / name))
        proc_samples(Inputs(urls=[numbered("a.tar", 3)]), outputs, Command("echo made > sample.txt"), jobs=2)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    with tarfile.open(fileobj=io.BytesIO(written[0])) as archive:
        assert {(info.mtime, info.mode) for info in archive if info.name.endswith(".txt")} == {(0, 0o644)}


def test_tarpcat_gave_10_of_36_samples(run: Run, numbered: Any) -> None:
    for shard in range(12):
        numbered(f"{shard:02d}.tar", 3, 3 * shard)
    assert run("cat {00..11}.tar --mix 8 -o out.tar")[0] == 0
    assert sorted(keys_of("out.tar")) == [f"{number:04d}" for number in range(36)]


def test_tarcats_wrote_where_samples_came_from_as_files(run: Run, numbered: Any, members_of: Any) -> None:
    assert run("cat a.tar -o out.tar --rekey", numbered("a.tar", 2) and "{shard}/{key}")[0] == 0
    assert {name.partition(".")[2] for name, _ in members_of("out.tar")} == {"cls", "json", "jpg"}


def test_tarsort_kept_one_of_the_samples_with_the_same_value(run: Run, numbered: Any) -> None:
    numbered("a.tar", 20)
    assert run("sort a.tar --by cls -o out.tar")[0] == 0
    assert keys_of("out.tar") == [f"{number:04d}" for digit in range(10) for number in (digit, digit + 10)]


@pytest.mark.parametrize("command", ["sort", "cat", "shuffle"])
def test_tarsort_and_tarp_swallowed_what_was_cut(command: str, run: Run, numbered: Any) -> None:
    Path("cut.tar").write_bytes(Path(numbered("a.tar", 10)).read_bytes()[:9_000])
    status, _, said = run(f"{command} cut.tar -o out.tar")
    assert (status, "TruncatedTarError" in said, Path("out.tar").exists()) == (2, True, False)


def test_tarproc_ishuffle_failed_with_fewer_samples_than_its_buffer(run: Run, numbered: Any) -> None:
    numbered("a.tar", 3)
    assert run("shuffle a.tar --buffer 100 -o out.tar")[0] == 0
    assert sorted(keys_of("out.tar")) == ["0000", "0001", "0002"]


def test_tarproc_lower_cased_and_chose_the_first_member_only(run: Run, write: Any, members_of: Any) -> None:
    write("a.tar", [("a.JPG", b"1"), ("a.TXT", b"2"), ("a.cls", b"3"), ("b.Jpg", b"4"), ("b.txt", b"5")])
    assert run("cat a.tar -o out.tar --fields jpg,txt")[0] == 0
    assert [data for _, data in members_of("out.tar")] == [b"1", b"2", b"4", b"5"]
    assert {name for sample in wds.WebDataset("out.tar", shardshuffle=False) for name in sample if name[0] != "_"} == {"jpg", "txt"}


def test_tarproc_wrote_the_encoder_in_place_of_the_sample(tmp_path: Path) -> None:
    with wds.TarWriter(str(tmp_path / "a.tar"), encoder=lambda sample: {**sample, "txt": sample["txt"].upper()}) as sink:
        sink.write({"__key__": "a", "txt": b"words"})
    assert [sample["txt"] for sample in wds.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False)] == [b"WORDS"]


def test_tarproc_ignored_allow_missing_and_tarp_panicked(run: Run, write: Any) -> None:
    write("a.tar", [("a.jpg", b"1"), ("b.txt", b"2")])
    status, out, _ = run("cat a.tar -o out.tar --fields jpg;png --json")
    assert (status, json.loads(out)["dropped"]) == (0, {"no fields left": 1})


def test_tarsplit_made_shards_larger_than_asked_and_deleted_them(numbered: Any, tmp_path: Path) -> None:
    outputs = Outputs(target=f"{tmp_path}/out-{{shard}}.tar", max_size=20_000, post="true {path}")
    split_shards(Inputs(urls=[numbered("a.tar", 20)]), outputs)
    shards = sorted(tmp_path.glob("out-*.tar"))
    assert len(shards) > 2
    assert all(shard.stat().st_size <= 20_000 for shard in shards)


def test_tarmix_ended_with_the_first_source(run: Run, numbered: Any) -> None:
    numbered("a.tar", 2)
    numbered("b.tar", 10, 10)
    assert run("mix a.tar b.tar -o out.tar")[0] == 0
    assert len(keys_of("out.tar")) == 12


def test_tar2json_crashed_on_what_is_no_text(run: Run, write: Any) -> None:
    write("a.tar", [("a.txt", b"\xff\xfe"), ("a.bin", b"\x80")])
    status, out, _ = run("export a.tar -o - -f jsonl")
    assert (status, json.loads(out)["__key__"]) == (0, "a")


def test_tarp_sorted_numbers_as_text(run: Run, numbered: Any) -> None:
    numbered("a.tar", 12)
    assert run("sort a.tar --by json.width --as int --reverse -o out.tar")[0] == 0
    assert keys_of("out.tar") == [f"{number:04d}" for number in reversed(range(12))]


def test_tarp_deleted_the_folder_for_temporary_files(run: Run, numbered: Any, tmp_path: Path) -> None:
    numbered("a.tar", 3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert run("sort a.tar --tmp mine -o out.tar")[0] == 0
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_tarp_shuffled_alike_in_every_run_and_had_no_seed(run: Run, numbered: Any) -> None:
    numbered("a.tar", 20)
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        assert run(f"shuffle a.tar --seed {seed} -o {name}.tar")[0] == 0
    assert keys_of("one.tar") == keys_of("same.tar") != keys_of("other.tar")


def test_tarp_filled_in_one_place_of_a_command_and_lost_what_failed(numbered: Any, tmp_path: Path) -> None:
    inputs, outputs = Inputs(urls=[numbered("a.tar", 4)]), Outputs(target=f"{tmp_path}/o-%06d.tar", max_count=2)
    split_shards(inputs, replace(outputs, post="cp %s %s.copy"))
    assert (tmp_path / "o-000001.tar.copy").read_bytes() == (tmp_path / "o-000001.tar").read_bytes()
    with pytest.raises(FetchError, match="ended with status 7"):
        split_shards(inputs, replace(outputs, post="exit 7", force=True))


def test_tarp_never_started_the_command_that_it_wrote_to(run: Run, numbered: Any) -> None:
    numbered("a.tar", 3)
    assert run("cat a.tar -o", "pipe:cat > out.tar")[0] == 0
    assert Path("out.tar").read_bytes() == Path("a.tar").read_bytes()


def test_tarp_wrote_half_made_samples(numbered: Any, tmp_path: Path) -> None:
    inputs, failing = Inputs(urls=[numbered("a.tar", 3)], on_error="skip"), Command("rm sample.jpg; test $WDS_KEY != 0001")
    report = proc_samples(inputs, Outputs(target=str(tmp_path / "out.tar")), failing)
    assert (report.samples_out, report.dropped, report.status) == (2, {"damaged": 1}, 4)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tarp_panicked_at_dots_lost_fields_and_mixed_up_members(mode: str, run: Run, write: Any, members_of: Any) -> None:
    """It read no gzip either."""
    members = [(".hidden", b"0"), ("a.txt", b"1"), ("a._meta.json", b"{}"), ("a.cls", b"2")]
    write("a.tar", members, mode)
    status, out, _ = run("cat a.tar -o out.tar --json")
    assert (status, json.loads(out)["left_out"]) == (0, {"members that belong to no sample": 1})
    assert members_of("out.tar") == members[1:]


def test_tarp_had_no_lists_of_keys_and_no_patterns_for_them(run: Run, numbered: Any) -> None:
    numbered("a.tar", 20)
    Path("keep").write_text("0003\n0017\n")
    assert run("filter a.tar --keys keep -o out.tar")[0] == 0
    assert run("cat out.tar -o new.tar --rekey", "s/^0*/sample-/")[0] == 0
    assert keys_of("new.tar") == ["sample-3", "sample-17"]


def test_resharder_needed_a_patch_to_go_on_behind_damage(run: Run, numbered: Any) -> None:
    Path("cut.tar").write_bytes(Path(numbered("a.tar", 10)).read_bytes()[:9_000])
    numbered("b.tar", 5, 10)
    status, out, _ = run("filter cut.tar b.tar --on-error skip -o out.tar --json")
    report = json.loads(out)
    assert (status, len(report["damaged"])) == (4, 1)
    assert len(keys_of("out.tar")) == report["samples_out"] == report["samples_in"] > 5


SCATTERED = [("a.jpg", b"1"), ("b.jpg", b"2"), ("a.txt", b"3"), ("b.txt", b"4")]
FOUND = {
    "webdataset #11 and #407, Ray #44068: members of a sample stand apart": (SCATTERED, "W10"),
    "webdataset #157 and #286: a key comes again": ([("a.x", b"1"), ("b.x", b"2"), ("a.x", b"3")], "W11"),
    "names of Arxiv: dots in keys": ([(f"1501.{n:05d}v1.pdf", b"1") for n in range(40)], "W22"),
    "upper-case extensions": ([("a.JPG", b"1")], "W21"),
    "webdataset #428: long names": ([("k" * 130 + ".txt", b"1")], "W23"),
    "missing fields": ([*[(f"{n}.{field}", b"1") for n in range(9) for field in ("a", "b")], ("z.a", b"1")], "W14"),
}


@pytest.mark.parametrize("where", FOUND)
def test_readers_said_nothing_of(where: str, run: Run, write: Any) -> None:
    members, rule = FOUND[where]
    write("a.tar", members)
    status, out, _ = run("verify a.tar --json")
    assert (status, rule in json.loads(out.splitlines()[-1])["found"]) == (2, True)


def test_webdataset_407_scattered_members_are_put_together(run: Run, write: Any, members_of: Any) -> None:
    write("a.tar", SCATTERED)
    assert run("sort a.tar --regroup -o out.tar")[0] == 0
    assert members_of("out.tar") == [SCATTERED[place] for place in (0, 2, 1, 3)]


def test_energon_gave_new_keys_to_duplicates_by_rewriting_all(run: Run, numbered: Any) -> None:
    numbered("a.tar", 2)
    numbered("b.tar", 2)
    assert run("cat a.tar b.tar -o out.tar --rekey", "{shard}/{key}")[0] == 0
    assert keys_of("out.tar") == ["a/0000", "a/0001", "b/0000", "b/0001"]


def test_img2dataset_and_dalis_index_take_lists_of_their_own(run: Run, numbered: Any) -> None:
    """`wds2idx` and `sizes.json` are made, and the latter stands for its shards."""
    numbered("a.tar", 2)
    assert run("index a.tar -f wds2idx,sizes")[0] == 0
    assert Path("a.idx").read_text().startswith("v1.2 2\n")
    assert run("cat sizes.json -o out.tar")[0] == 0
    assert len(keys_of("out.tar")) == 2
