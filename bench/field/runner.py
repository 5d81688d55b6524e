"""Runs contenders in turn, each run in a process of its own with the interpreter of its peer, and keeps what they report."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.field import worlds
from bench.field.contenders import Contender
from bench.field.environments import PEERS, ROOT, python_of, search_path, versions
from bench.field.processes import resident, tree
from bench.field.questions import QUESTIONS, Question
from bench.harness import Size, World

LATE = 30.0  # [s] over its limit after which a run is given up
LOOK = 0.3  # [s] between looks at the memory
Run = dict[str, Any]


def run_question(name: str, home: Path, size: Size, rounds: int, peers: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Everything about one question, as it goes into its file, after each run; of all peers or of some."""
    question = QUESTIONS[name]
    if size == "small":
        question = replace(question, limit=min(question.limit, 0.3))
    present, absent = _present(question, home)
    if peers:
        absent |= {name: "left out of this run" for name, each in present.items() if each.peer not in peers}
        present = {name: each for name, each in present.items() if name not in absent}
    failed = _convert({each.peer for each in present.values()}, home, question.kind, size)
    absent |= {name: failed[each.peer] for name, each in present.items() if each.peer in failed}
    present = {name: each for name, each in present.items() if name not in absent}
    warm(worlds.folder_of(home, question.kind, size), {each.peer for each in present.values()})
    runs: dict[str, list[Run]] = {contender: [] for contender in present}
    about = {"question": name, "size": size, **surroundings(present, home), "absent": absent, "runs": runs}
    with question.open(home, size) as world:
        for _ in range(rounds):
            for contender, each in present.items():
                runs[contender].append(_run(each, question, world, home))
                print(f"  {contender}: {_brief(runs[contender][-1])}", flush=True)
                yield {**about, "samples": world["samples"]}


def check(home: Path, size: Size = "small") -> dict[str, Any]:
    """Whether all peers read the same samples of each kind: every byte hashed, nothing timed."""
    found: dict[str, Any] = {}
    for kind in ("middle", "little", "large"):
        question = Question("", "", kind, lambda *_: None, {}, (), "", consume="check")  # type: ignore[arg-type]
        contenders = {
            name: Contender(name, "samples") for name in ("asyncwds", "webdataset", "spdl", "litdata", "mosaicml", "ray", "torch")
        }
        present, _ = _present(replace(question, contenders=contenders), home)
        failed = _convert(set(present), home, kind, size)
        present = {name: each for name, each in present.items() if name not in failed}
        reads = {name: _run(each, question, worlds.local(home, kind, size), home) for name, each in present.items()}
        found[kind] = {name: [run.get(key) for key in ("samples", "bytes", "digest", "error")] for name, run in reads.items()}
        print(f"  {kind}: {len({str(read) for read in found[kind].values()}) == 1} {', '.join(found[kind])}", flush=True)
    return found


def _present(question: Question, home: Path) -> tuple[dict[str, Contender], dict[str, str]]:
    missing = {name for name in PEERS if python_of(name, home) is None}
    present = {name: each for name, each in question.contenders.items() if each.peer not in missing}
    not_here = {name: "not installed for this run" for name in question.contenders if name not in present}
    return present, {**question.absent, **not_here}


def _convert(peers: set[str], home: Path, kind: str, size: Size) -> dict[str, str]:
    """Writes the peers' own formats where they are not there yet; gives the reasons of those that fail."""
    folder, failed = worlds.folder_of(home, kind, size), {}
    for peer in sorted(peers & worlds.CONVERTED.keys()):
        done = folder / f"{worlds.CONVERTED[peer]}.complete"
        if not done.exists():
            world = worlds.local(home, kind, size)
            command, environment = _command(peer, "convert", home)
            shutil.rmtree(folder / worlds.CONVERTED[peer], ignore_errors=True)  # what an earlier try has left
            child = subprocess.run(command, input=json.dumps(world), text=True, check=False, env=environment, capture_output=True)
            if child.returncode == 0:
                done.touch()
            else:
                failed[peer] = f"could not write its format: {_last_line(child.stderr, home)}"
    return failed


def warm(folder: Path, peers: set[str]) -> None:
    """Reads what the peers will read, so that it comes from the page cache for all of them."""
    for name in ("wds", *(worlds.CONVERTED[peer] for peer in sorted(peers & worlds.CONVERTED.keys()))):
        for path in (folder / name).rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    while file.read(1 << 22):
                        pass


def _command(peer: str, function: str, home: Path) -> tuple[list[str], dict[str, str]]:
    python = python_of(peer, home)
    assert python is not None
    # Each loader has the cores by itself; libraries that start a thread for each core in each worker would slow it down.
    quiet = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    environment = {**os.environ, **quiet, "PYTHONPATH": search_path(python, home), "PYTHONSAFEPATH": "1"}
    return [python, "-m", "bench.field.child", PEERS[peer].module, function], environment


def _run(contender: Contender, question: Question, world: World, home: Path) -> Run:
    command, environment = _command(contender.peer, contender.function, home)
    with tempfile.TemporaryDirectory(prefix="asyncwds-field-", ignore_cleanup_errors=True) as scratch:
        report = Path(scratch, "report.json")
        how = {
            "consume": contender.consume or question.consume,
            "limit": question.limit,
            "again": question.again,
            "every": question.every,
        }
        asked = {**world, **how, **contender.options, "scratch": scratch, "report": str(report), "began": time.time()}
        with Path(scratch, "err").open("w") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, env=environment, cwd=scratch
            )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked).encode())
        process.stdin.close()
        peak = _watch(process, question.limit + LATE)
        if process.returncode == -signal.SIGKILL:
            return {"error": f"gave nothing within {question.limit + LATE:.0f} s, its start included"}
        if not report.exists():
            return {"error": f"ended without a result: {_last_line(Path(scratch, 'err').read_text(), home)}"}
        found: Run = json.loads(report.read_text())
    return {**found, "peak": max(0, peak - found["idle"])}


def _last_line(text: str, home: Path) -> str:
    """Of what a process said, for a table: without marks of its own, and paths of this machine."""
    lines = text.strip().splitlines() or ["nothing was said"]
    return lines[-1].replace("`", "'").replace("|", " ").replace(str(home), ".field").replace(tempfile.gettempdir(), "")[:160]


def _watch(process: subprocess.Popen[bytes], limit: float) -> int:
    """Waits for the end; gives the peak [bytes] of all processes below."""
    peak, ends = 0, time.monotonic() + limit
    while process.poll() is None:
        peak = max(peak, resident(tree(process.pid)))
        if time.monotonic() > ends:
            for each in tree(process.pid):
                os.kill(each, signal.SIGKILL)
        try:
            process.wait(LOOK)
        except subprocess.TimeoutExpired:
            continue
    return peak


def _brief(run: Run) -> str:
    if "seconds" not in run:
        return str(run["error"])
    return f"{run['samples']} samples, {run['bytes'] / 1e6:.0f} MB, {run['seconds']:.2f} s {run['error']}"


def surroundings(present: Mapping[str, Contender], home: Path) -> dict[str, Any]:
    peers = dict.fromkeys(each.peer for each in present.values())
    found = {name: versions(name, python) for name in peers if (python := python_of(name, home)) is not None}
    return {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine(), "commit": commit(), "versions": found}


def machine() -> str:
    cpu = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores of {cpu}, {memory:.0f} GiB, Linux {platform.release()}"


def commit() -> str:
    """The last one that changed the package."""
    command = ["git", "log", "-1", "--format=%h", "--", "asyncwds"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def merged(old: Mapping[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The runs of both, where they are of the same size and commit."""
    if old is None or (old["size"], old["commit"]) != (new["size"], new["commit"]):
        return new
    runs: Mapping[str, Sequence[Run]] = old["runs"]
    both = {name: [*runs.get(name, []), *new["runs"].get(name, [])] for name in {**runs, **new["runs"]}}
    absent = {name: reason for name, reason in {**old["absent"], **new["absent"]}.items() if name not in both}
    return {**new, "runs": both, "absent": absent, "versions": {**old["versions"], **new["versions"]}}


def differing(checked: Mapping[str, Mapping[str, Sequence[Any]]]) -> Iterator[str]:
    """What of a check is not as it should be."""
    for kind, reads in checked.items():
        if len({str(read) for read in reads.values()}) > 1:
            yield f"{kind}: not all read the same (samples, bytes, digest, error): {dict(reads)}"
