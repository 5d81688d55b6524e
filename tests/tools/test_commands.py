"""The commands, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from command_line import COMMAND, run_asyncwds

from asyncwds.cli import main
from asyncwds.testing import FaultServer


def test_a_pipe_of_commands(numbered: Any, members_of: Any, tmp_path: Path) -> None:
    """tarp's README: `gsutil cat … | tarp sort - -o - | tarp split -c 1000 -o 'output-%06d.tar'`."""
    shard = numbered("a.tar", 25)
    selected = run_asyncwds("cat", "-", "-o", "-", "--where", "cls != 3", stdin=Path(shard).read_bytes())
    assert selected.returncode == 0
    assert "25 samples in, 22 out in 1 shard\n  3 dropped: where\n" in selected.stderr
    done = run_asyncwds(
        "split", "-", "--max-count", "10", "-o", "out-%06d.tar", "--json", stdin=selected.stdout_bytes, cwd=tmp_path
    )
    report = json.loads(done.stdout)
    assert [shard["samples"] for shard in report["shards"]] == [10, 10, 2]
    assert [shard["url"] for shard in report["shards"]] == [f"out-{number:06d}.tar" for number in range(3)]
    expected = [(name, data) for name, data in members_of(shard) if int(name[:4]) % 10 != 3]
    assert members_of(*sorted(tmp_path.glob("out-*.tar"))) == expected


def test_ratio_on_the_command_line(numbered: Any, tmp_path: Path) -> None:
    """`asyncwds split … --ratio train=.98,val=.02`, and the alias."""
    for number in range(2):
        numbered(f"all-{number:06d}.tar", 50, 50 * number)
    arguments = ["all-{000000..000001}.tar", "--ratio", "train=.8,val=.2", "-o", "out/{split}-{shard:06d}.tar"]
    assert run_asyncwds("reshard", *arguments, "--dry-run", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "out").exists()
    assert run_asyncwds("split", *arguments, cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train-000000.tar", "val-000000.tar"]


def test_inputs_by_list_folder_and_wildcard(numbered: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        numbered(f"in/{number}.tar", 4, 4 * number)
    (tmp_path / "list.txt").write_text("in/0.tar\nin/1.tar\n")
    (tmp_path / "sizes.json").write_text('{"in/2.tar": 4}')
    for inputs, samples in ((["@list.txt"], 8), (["in"], 12), (["in/*.tar"], 12), (["sizes.json", "in/{0..1}.tar"], 12)):
        done = run_asyncwds("filter", *inputs, "--dry-run", "--json", cwd=tmp_path)
        assert json.loads(done.stdout)["samples_in"] == samples, done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["cat"], 1, "Missing argument"),
        (["cat", "a.tar"], 1, "-o"),
        (["cat", "a.tar", "-o", "x.tar", "--where", "import os"], 1, "no expression"),
        (["cat", "a.tar", "-o", "x.tar", "--part", "3/3"], 1, "a part is i/n"),
        (["cat", "a.tar", "-o", "x.tar", "--memory", "lots"], 1, "is no size"),
        (["split", "a.tar", "-o", "x-{shard}.tar", "--ratio", "x"], 1, "--ratio is"),
        (["cat", "a.tar", "-o", "x.tar", "--rename", "x"], 1, "NEW=OLD"),
        (["filter", "a.tar", "--subset", "x", "--keys", "y", "-o", "x.tar"], 1, "another name"),
        (["cat", "cut.tar", "-o", "x.tar"], 2, "TruncatedTarError"),
        (["cat", "a.tar", "a.tar", "-o", "x.tar", "--where", "cls == 0"], 2, "--same-key number"),
        (["cat", "nothing.tar", "-o", "x.tar"], 3, "NotFoundError"),
        (["cat", "a.tar", "-o", "a.tar/x.tar"], 3, "a.tar/x.tar"),
        (["cat", "-", "a.tar", "-", "-o", "x.tar"], 1, "given twice"),
        (["index", "-"], 1, "-o"),
        (["create", "--from", "zip", "a.tar", "-o", "x.tar"], 2, "ZIP archive"),
        (["create", "nothing.zip", "-o", "x.tar"], 3, "NotFoundError"),
        (["map", "a.tar", "--py", "a.tar:f", "-o", "x.tar"], 1, "cannot be imported"),
        (["mix", "nothing.toml", "-o", "x.tar"], 3, "nothing.toml"),
        (["cat", "a.tar", "-o", "x.tar", "--post", "false"], 3, "ended with status 1"),
        (["cat", "cut.tar", "-o", "y.tar", "--on-error", "skip"], 4, "damaged"),
    ],
)
def test_exit_statuses(arguments: list[str], status: int, words: str, numbered: Any, tmp_path: Path) -> None:
    shard = Path(numbered("a.tar", 10))
    (tmp_path / "cut.tar").write_bytes(shard.read_bytes()[:9_000])
    done = run_asyncwds(*arguments, cwd=tmp_path)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "x.tar").exists() == ("--post" in arguments)


NOWHERE = [
    *["cat a.tar -o {}", "cat a.tar -o {}-{{shard}}.tar --max-count 3 --resume", "filter a.tar -o {}/{{name}}.tar"],
    *["get a.tar 0001.cls -o {}", "export a.tar -o {}.jsonl", "export a.tar -f files -o {}", "show a.tar --html {}"],
    *[
        "dedup a.tar --by cls --dry-run --drop-list {}",
        "verify a.tar --fix -o {}",
        "index a.tar -o {}",
        "index a.tar -f len,sizes -o {}/",
    ],
    *["bench a.tar --trace {}", "cp a.tar {}/", "shuffle a.tar -o x.tar --tmp {}", "sort a.tar -o x.tar --tmp {}"],
    *["ls @{}", "ls {}/", "ls {}.json", "create {} --from dir -o x.tar", "state show {}"],
]


@pytest.mark.parametrize("line", NOWHERE)
def test_what_cannot_be_written_or_read_has_a_status_of_its_own(
    line: str, numbered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever option says where: a folder that cannot be made, since a file is in its place."""
    monkeypatch.chdir(tmp_path)
    numbered("a.tar", 10)
    done = CliRunner().invoke(main, line.format("a.tar/no").split())
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert not Path("x.tar").exists()


def journal_lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def kill_in_the_middle(arguments: list[Any], journal: Path, with_signal: int) -> int:
    with subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while journal_lines(journal) < 4:
            assert process.poll() is None
            time.sleep(0.005)
        os.killpg(process.pid, with_signal)
        return process.wait(60)


@pytest.mark.parametrize(("with_signal", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_killed_in_the_middle_and_resumed(with_signal: int, status: int, numbered: Any, tmp_path: Path) -> None:
    shard = numbered("a.tar", 60)
    for folder in ("whole", "resumed"):
        (tmp_path / folder).mkdir()
    assert run_asyncwds("split", shard, "--max-count", 7, "-o", tmp_path / "whole" / "{shard:03d}.tar").returncode == 0
    pattern = tmp_path / "resumed" / "{shard:03d}.tar"
    journal = Path(f"{pattern}.journal")
    slow = ["split", shard, "--max-count", 7, "-o", pattern, "--resume", "--post"]
    assert kill_in_the_middle([*slow, "sleep 0.05; case {path} in *005.tar) sleep 30;; esac"], journal, with_signal) == status
    done = journal_lines(journal) - 1
    assert 3 <= done <= 5
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "resumed").glob("*.tar")}
    resumed = run_asyncwds(*slow, f"echo {{path}} >> {tmp_path}/posted", "--json")
    assert json.loads(resumed.stdout)["samples_out"] == 60
    assert len((tmp_path / "posted").read_text().splitlines()) == 9 - done
    assert [path.stat().st_mtime_ns == before[path] for path in sorted(before)][:done] == [True] * done
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    # SIGKILL between the link and the rename of a shard leaves what begins with a dot.
    visible = [path.name for path in (tmp_path / "resumed").iterdir() if path.name[0] != "." or with_signal != signal.SIGKILL]
    assert sorted(visible) == [*names, "{shard:03d}.tar.journal"]
    for name in names:
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    other = run_asyncwds("split", shard, "--max-count", 8, "-o", pattern, "--resume")
    assert (other.returncode, "other inputs or options" in other.stderr) == (1, True)


def test_resumed_in_a_bucket(numbered: Any, tmp_path: Path) -> None:
    shard = numbered("a.tar", 30)
    with FaultServer({}, writable=True) as bucket:
        target = bucket.url() + "{part}-{shard}.tar"
        arguments = ["split", shard, "--max-count", 10, "--part", "0/1", "-o", target, "--resume"]
        post = ["--post", f"echo {{url}} >> {tmp_path}/log; test $(wc -l < {tmp_path}/log) -ne 2"]
        assert run_asyncwds(*arguments, *post).returncode == 3
        assert run_asyncwds(*arguments, *post).returncode == 0
        urls = [line.rpartition("/")[2] for line in (tmp_path / "log").read_text().splitlines()]
        assert urls == ["0-0.tar", "0-1.tar", "0-1.tar", "0-2.tar"]


def test_sigterm_ends_a_command_as_ctrl_c_does(numbered: Any, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import os\n\ndef at(sample):\n    os.kill(os.getpid(), 15)\n    return True\n")
    (tmp_path / "tmp").mkdir()
    options = ["--py", f"{tmp_path}/ends.py:at", "--tmp", tmp_path / "tmp", "-o", tmp_path / "out.tar"]
    done = run_asyncwds("sort", numbered("a.tar", 9), *options)
    assert (done.returncode, done.stderr.strip()) == (143, "asyncwds: interrupted")
    assert sorted(path.name for path in tmp_path.rglob("*.tar")) == ["a.tar"]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
