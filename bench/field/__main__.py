"""`python -m bench.field install`, then `run QUESTION...`, then `page`: asyncwds beside other loaders."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.field import runner, worlds
from bench.field.environments import PEERS, ROOT, install
from bench.field.questions import QUESTIONS

PAGE = ROOT / "docs" / "benchmarks.md"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.field", description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / ".field", help="folder of the environments and the data (20 GB)")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "benchmarks", help="folder of what was measured")
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser("install", help="makes an environment for each peer")
    installing.add_argument("names", nargs="*", choices=[*PEERS, []], metavar="PEER")
    running = commands.add_parser("run", help="asks questions: " + ", ".join(QUESTIONS))
    running.add_argument("names", nargs="+", choices=[*QUESTIONS, "all", "check"], metavar="QUESTION")
    running.add_argument(
        "--size", choices=["small", "full"], default="full", help="small takes seconds, and its figures mean little"
    )
    running.add_argument("--rounds", type=int, default=2, help="runs of each contender, which take turns")
    running.add_argument("--peers", nargs="*", choices=[*PEERS], default=[], help="only these, of all")
    running.add_argument("--append", action="store_true", help="to the runs that are there of the same commit")
    commands.add_parser("page", help="writes docs/benchmarks.md and its plots from what was measured (needs matplotlib)")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.command == "install":
        for name in arguments.names or PEERS:
            print(name, flush=True)
            install(name, arguments.home)
    elif arguments.command == "run":
        sys.exit(_run(arguments))
    else:
        from bench.field.page import write

        write(PAGE, arguments.results)


def _run(arguments: argparse.Namespace) -> int:
    arguments.results.mkdir(parents=True, exist_ok=True)
    names = [*QUESTIONS, "check"] if "all" in arguments.names else arguments.names
    faults: list[str] = []
    for name in names:
        print(f"{name}:", flush=True)
        file = arguments.results / f"{name}.json"
        if name == "check":
            checked = runner.check(arguments.home)
            worlds.save(file, checked)
            faults += runner.differing(checked)
            continue
        old = json.loads(file.read_text()) if arguments.append and file.exists() else None
        found: dict[str, Any] = {"runs": {}}
        for found in runner.run_question(name, arguments.home, arguments.size, arguments.rounds, arguments.peers):
            worlds.save(file, runner.merged(old, found))
        ours = {who: runs[-1]["error"] for who, runs in found["runs"].items() if "asyncwds" in who and runs}
        faults += [f"{name}: {who}: {error}" for who, error in ours.items() if error]
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    main()
