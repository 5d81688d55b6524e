"""`python -m bench NAME...`: asks questions and prints their answers; `all` asks each."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path

from bench.harness import Question, ask, table

NAMES = (
    "http_throughput",
    "small_samples",
    "decode",
    "parallel_map",
    "cloud_box",
    "cloud_shard",
    "s3",
    "bad_day",
    "soak",
    "memory",
    "cache",
    "bridge",
    "writing",
    "writing_small",
    "plans",
    "start_up",
    "hand_over",
    "index",
    "tools",
    "resume",
    "ledger",
)


def _arguments() -> argparse.Namespace:
    questions = "\n".join(f"  {name:<16} {(import_module(f'bench.{name}').__doc__ or '').splitlines()[0]}" for name in NAMES)
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"questions:\n{questions}\n\nEach file in bench/ says what is measured, and how.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="+", choices=[*NAMES, "all"], metavar="NAME")
    parser.add_argument(
        "--size", choices=["small", "full"], default="full", help="small takes seconds, and its figures mean little"
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each contender, of which the median counts")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    names = NAMES if "all" in arguments.names else tuple(arguments.names)
    found = {}
    for name in names:
        module = import_module(f"bench.{name}")
        question: Question = module.QUESTION
        print(f"{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        report = ask(name, question, arguments.size, arguments.repeats)
        print(*table(question, report), "", sep="\n", flush=True)
        found[name] = report.as_json(question)
    if arguments.json:
        machine = {"cores": os.cpu_count(), "machine": platform.platform(), "python": sys.version.split()[0]}
        settings = {"size": arguments.size, "repeats": arguments.repeats}
        arguments.json.write_text(json.dumps({**machine, **settings, "questions": found}, indent=1))


if __name__ == "__main__":
    main()
