"""Asks a question: runs its contenders one after another, in turn, each run in a process of its own.

A fresh process gives clean CPU seconds and a clean peak of resident memory; taking turns spreads whatever else the
machine does over all contenders. Every run counts what it reads and hashes it, and contenders that read the same thing
must come to the same result, or the question fails: a fast loader that loses samples is not fast.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from bench.tally import Tally

Size = Literal["small", "full"]
World = Mapping[str, Any]
"""What contenders work on, as JSON: `samples` and `bytes` that there are to read, and what else the question needs."""


@dataclass(frozen=True)
class Contender:
    """One way to do it. `needs` ("module" or "module:name") is imported, and `before` is called, before the clock starts; a `group`
    must read the same.

    The group "" need not: it is for contenders that may lose samples, which are counted.
    """

    run: Callable[[World, Tally], None]
    needs: Sequence[str] = ()
    group: str = "samples"
    before: Callable[[World], None] | None = None


@dataclass(frozen=True)
class Run:
    """One run: wall and CPU seconds, seconds to the first sample, peak bytes resident over the idle process."""

    seconds: float
    cpu: float
    first: float
    peak: int
    samples: int
    bytes: int
    digest: int
    sent: int
    requests: int


@dataclass(frozen=True)
class Figures:
    """Medians over the runs of a contender; `bytes` [bytes] and `samples` are what one run reads, or has to read.

    `lost` samples of those were not read in the worst run; `sent` [bytes] and `requests` are what the server saw, `parts` the
    requests that would do in good weather.
    """

    seconds: float
    cpu: float
    first: float
    peak: float
    samples: int
    bytes: int
    lost: int
    sent: float
    requests: float
    parts: int

    @property
    def extra_bytes(self) -> float:
        return self.sent / self.bytes - 1

    @property
    def extra_requests(self) -> float:
        return self.requests / self.parts - 1

    @property
    def mb_per_second(self) -> float:
        return self.bytes / self.seconds / 1e6

    @property
    def cpu_per_gb(self) -> float:
        return self.cpu / (self.bytes / 1e9)

    @property
    def samples_per_second(self) -> float:
        return self.samples / self.seconds

    @property
    def us_per_sample(self) -> float:
        return self.seconds / self.samples * 1e6


Answer = Mapping[str, Figures]


@dataclass(frozen=True)
class Target:
    """A figure to reach: `value` of the answer must be at least or at most the limit."""

    text: str
    value: Callable[[Answer], float]
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, answer: Answer) -> bool:
        value = self.value(answer)
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True)
class Question:
    """`columns` are the names of the figures to show; `prepare` makes the world, servers included, for as long as it is open.

    Timed runs hash one of `every` samples, see `Tally`.
    """

    prepare: Callable[[Size], AbstractContextManager[World]]
    contenders: Mapping[str, Contender]
    columns: Sequence[str]
    targets: Sequence[Target] = ()
    every: int = 1


@dataclass(frozen=True)
class Report:
    """The answer, and the runs it was made of."""

    answer: Answer
    runs: Mapping[str, Sequence[Run]] = field(repr=False)

    def as_json(self, question: Question) -> dict[str, Any]:
        return {
            "contenders": {
                name: {**asdict(figures), **{column: getattr(figures, column) for column in question.columns}}
                for name, figures in self.answer.items()
            },
            "targets": [
                {
                    "text": t.text,
                    "value": t.value(self.answer),
                    "at_least": t.at_least,
                    "at_most": t.at_most,
                    "reached": t.reached(self.answer),
                }
                for t in question.targets
            ],
            "runs": {name: [asdict(run) for run in runs] for name, runs in self.runs.items()},
        }


def ask(name: str, question: Question, size: Size, repeats: int) -> Report:
    """Answers a question. Raises RuntimeError when a contender fails, or disagrees with another one."""
    with question.prepare(size) as world:
        # Not timed: it hashes every byte, warms the page cache, and compiles what is imported.
        check = {contender: _run(name, contender, world, full=True) for contender in question.contenders}
        _agree(question, world, [check])
        rounds = [
            {contender: _run(name, contender, world, full=False) for contender in question.contenders} for _ in range(repeats)
        ]
        _agree(question, world, rounds)
    runs = {contender: [each[contender] for each in rounds] for contender in question.contenders}
    return Report({contender: _medians(found, world) for contender, found in runs.items()}, runs)


def _run(question: str, contender: str, world: World, *, full: bool) -> Run:
    command = [sys.executable, "-m", "bench.child", question, contender, "full" if full else "probes"]
    child = subprocess.run(command, input=json.dumps(world), capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise RuntimeError(f"{question}: {contender} failed:\n{child.stderr}")
    return Run(**json.loads(child.stdout.splitlines()[-1]))


def _agree(question: Question, world: World, rounds: Sequence[Mapping[str, Run]]) -> None:
    for group in {contender.group for contender in question.contenders.values()} - {""}:
        read = {
            name: {(each[name].samples, each[name].bytes, each[name].digest) for each in rounds}
            for name, contender in question.contenders.items()
            if contender.group == group
        }
        if len(set().union(*read.values())) > 1:
            raise RuntimeError(f"contenders did not read the same (samples, bytes, digest): {read}")
        if group == "samples" and any(each[name].samples != world["samples"] for each in rounds for name in read):
            raise RuntimeError(f"there are {world['samples']} samples, but the contenders read {read}")


def _medians(runs: Sequence[Run], world: World) -> Figures:
    middle = {name: median(getattr(run, name) for run in runs) for name in ("seconds", "cpu", "first", "peak", "sent", "requests")}
    lost = world["samples"] - min(run.samples for run in runs)
    return Figures(**middle, samples=world["samples"], bytes=world["bytes"], lost=lost, parts=world.get("parts", 0))


def table(question: Question, report: Report) -> Iterator[str]:
    """Lines for people: the figures, then the targets."""
    width = max(map(len, report.answer))
    yield " " * width + "".join(f"{HEADINGS[column]:>15}" for column in question.columns)
    for name, figures in report.answer.items():
        yield f"{name:<{width}}" + "".join(f"{SHOWN[column](getattr(figures, column)):>15}" for column in question.columns)
    for target in question.targets:
        limit = f"at least {target.at_least:g}" if target.at_least is not None else f"at most {target.at_most:g}"
        verdict = "reached" if target.reached(report.answer) else "missed"
        yield f"{verdict}: {target.text}: {target.value(report.answer):.3g} ({limit})"


HEADINGS = {
    "seconds": "s",
    "mb_per_second": "MB/s",
    "cpu_per_gb": "CPU-s/GB",
    "samples_per_second": "samples/s",
    "us_per_sample": "µs/sample",
    "first": "first ms",
    "peak": "peak MB",
    "lost": "lost samples",
    "sent": "sent bytes",
    "extra_bytes": "extra bytes",
    "requests": "requests",
    "extra_requests": "extra requests",
}
SHOWN: Mapping[str, Callable[[float], str]] = {
    "seconds": lambda value: f"{value:.3f}",
    "mb_per_second": lambda value: f"{value:.0f}",
    "cpu_per_gb": lambda value: f"{value:.2f}",
    "samples_per_second": lambda value: f"{value:,.0f}",
    "us_per_sample": lambda value: f"{value:.2f}",
    "first": lambda value: f"{value * 1e3:.0f}",
    "peak": lambda value: f"{value / 1e6:.0f}",
    "lost": lambda value: f"{value:.0f}",
    "sent": lambda value: f"{value:,.0f}",
    "extra_bytes": lambda value: f"{value:.1%}",
    "requests": lambda value: f"{value:.0f}",
    "extra_requests": lambda value: f"{value:.1%}",
}
