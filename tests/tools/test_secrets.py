"""What is printed has urls without passwords and signatures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncwds.cli import main
from asyncwds.testing import FaultServer
from asyncwds.tools import Inputs, Outputs, split_shards

SECRET = "hush"


@pytest.fixture
def signed(numbered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Urls of shards on a server that takes them, with a password and a signature."""
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # whose thread would stay
    numbered("a.tar", 3)
    numbered("b.tar", 3)
    (tmp_path / "cut.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:2500])
    with FaultServer(tmp_path, writable=True) as server:
        start = server.url().replace("://", f"://me:{SECRET}@")
        yield lambda name: f"{start}{name}?X-Amz-Signature={SECRET}"


@pytest.mark.parametrize(
    "command",
    [
        *["ls {}", "ls {} --json", "ls {} -l", "ls {} -l --json", "ls {} --tree", "ls {} --tree --json"],
        *["ls {} --shards", "ls {} --shards --json", "stat {}", "stat {} --json", "get {} 0001 --io 2"],
        *["show {}", "show {} --json", "show {} --html sheet.html", "verify {} {b}", "verify {} {b} --json"],
        *["verify {cut} --fix -o fixed-{{shard}}.tar", "verify {cut} --fix -o fixed-{{shard}}.tar --json"],
        *["cat {} -o {new} --json", "cat {} -o {a}", "cat {cut} -o out.tar", "cat {cut} -o out.tar --on-error skip --json"],
        *["cat {gone} -o out.tar", "split {} -o {new} --max-count 1", "cp {} {new} --json", "cp {} {a}", "cp {} {} out/"],
        *["cp {cut} {gone} {a} out/ --on-error skip --json", "diff {} {cut}", "diff {} {b} --json", "export {} -o {new}"],
        *["create {gone} --from csv -o out.tar", "create {a} -o out.tar", "split {} --map {gone} -o {{split}}.tar"],
        "index {} -o out.json",
        "filter {} --keys {gone} -o out.tar",
        "sort {} --by json -o out.tar",
        "dedup {} --by json.width -o {new} --json",
        "mix {} {b} -o {new} --json",
        "bench {} --json",
    ],
)
def test_no_secret_is_printed(command: str, signed: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names = {name: signed(f"{name}.tar") for name in ("a", "b", "cut", "new")} | {"gone": signed("gone")}
    monkeypatch.setattr(sys, "argv", ["asyncwds"])
    with pytest.raises(SystemExit):
        main(command.format(names["a"], names["a"], **names).split())
    out, err = capsys.readouterr()
    assert out + err
    assert SECRET not in out + err
    for file in tmp_path.rglob("*.html"):
        assert SECRET not in file.read_text()


def test_a_journal_has_no_secret(signed: Any, tmp_path: Path) -> None:
    """And a run that goes on finds its shards in it."""
    inputs = Inputs(urls=[str(tmp_path / "a.tar")])
    with FaultServer({}, writable=True) as bucket:
        target = f"{bucket.url()}out-{{shard}}.tar?token={SECRET}"
        outputs = Outputs(target=target, max_count=2, resume=True)
        first = split_shards(inputs, outputs)
        again = split_shards(inputs, outputs)
        assert again.shards == first.shards
        assert again.shards[1]["url"] == target.format(shard=1)
        assert SECRET not in json.dumps(again.as_dict())
        puts = [request for request in bucket.requests if request.method == "PUT" and "journal" not in request.target]
    assert len(puts) == 2
