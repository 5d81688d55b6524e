"""docs/benchmarks.md, from the files that runs have left."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.field.environments import PEERS
from bench.field.figures import FIGURES, LIMITS, figures
from bench.field.plots import plot
from bench.field.questions import QUESTIONS, Question

HEAD = """# Benchmarks

<!-- Written by `python -m bench.field page` from the files in docs/benchmarks; what is changed here by hand is lost. -->

asyncwds beside other loaders, each at its documented best, in an environment of its own. Contenders take turns, each run is a
process of its own, and what stands here are medians over the runs, whose number is said for each question. The best figure of a
column is **bold**, whoever has it; what can be had at all (a bare download, the decoder alone) is in *italics* and does not take
part. Who was not asked stands below each table with the reason.

"Ratio" is over asyncwds (its first row, where there are several): ratios hold better than absolutes, which depend on who else
uses the machine. CPU time and memory are those
of all processes of a contender together; memory is over what stood when its imports were done. On loopback the server takes a part
of the same cores: "server's cores" is how many it kept busy meanwhile. What is read is in the page cache.

LitData and MosaicML streaming read formats of their own, to which the same samples were converted before; over a network they read
S3, and the same server is their endpoint. What they keep on disk is empty when a run begins.

"""


def write(page: Path, results: Path) -> None:
    found = {name: json.loads((results / f"{name}.json").read_text()) for name in QUESTIONS if (results / f"{name}.json").exists()}
    for name, each in found.items():
        plot(QUESTIONS[name], each, results / name)
    lines = [HEAD, *_surroundings(found), *(line for name, each in found.items() for line in _section(name, each))]
    check = results / "check.json"
    if check.exists():
        lines += _checked(json.loads(check.read_text()))
    missing = [f"{question.title.lower()} (`{name}`)" for name, question in QUESTIONS.items() if name not in found]
    if missing:
        lines += ["", f"Asked by `python -m bench.field run`, but not measured for this page: {', '.join(missing)}."]
    page.write_text("\n".join(lines).rstrip() + "\n")


def _surroundings(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "## Machine, versions, commands\n"
    for machine in sorted({each["machine"] for each in found.values()}):
        yield f"- {machine}"
    dates, commits = sorted(each["date"] for each in found.values()), sorted({each["commit"] for each in found.values()})
    yield f"- measured from {dates[0]} to {dates[-1]}, asyncwds at commit {', '.join(commits)}\n"
    yield "| peer | how it is run | versions |\n|---|---|---|"
    versions: dict[str, Mapping[str, str]] = {}
    for each in found.values():
        versions |= each["versions"]
    for name in (name for name in PEERS if name in versions):
        numbers = ", ".join(f"{package} {number}" for package, number in versions[name].items())
        yield f"| {name} | {_how(PEERS[name].module)} | {numbers} |"
    yield "\n```\npip install matplotlib\npython -m bench.field install       # an environment for each, in .field/"
    yield "python -m bench.field run all       # or single questions: " + " ".join(list(found)[:3]) + " …"
    yield "python -m bench.field page\n```\n"


def _number(runs: Mapping[str, Sequence[Any]]) -> str:
    fewest, most = min(map(len, runs.values())), max(map(len, runs.values()))
    return f"{most} run{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} runs"


def _how(module: str) -> str:
    """What the peer's file says of itself, which can't be imported here."""
    text = ast.get_docstring(ast.parse((Path(__file__).parent / "peers" / f"{module}.py").read_text())) or ""
    return " ".join((text.partition(": ")[2] or text).split())


def _section(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    question, runs = QUESTIONS[name], found["runs"]
    yield f"## {question.title}\n\n{question.how}\n"
    small = ", **at the smallest size: the figures mean little**" if found["size"] == "small" else ""
    yield f"`python -m bench.field run {name}`, {_number(runs)} of each, {found['date']}{small}\n"
    yield f"![{question.title}: {FIGURES[question.plot].heading}](benchmarks/{name}.svg)\n"
    yield from _table(question, found)
    yield ""
    yield from _remarks(found)


def _table(question: Question, found: Mapping[str, Any]) -> Iterator[str]:
    rows = figures(question.columns, found["runs"], found["samples"])
    ours = next((row[question.plot] for contender, row in rows.items() if contender.startswith("asyncwds")), None)
    yield "| | " + " | ".join(FIGURES[column].heading for column in question.columns) + " | ratio |"
    yield "|---|" + "--:|" * (len(question.columns) + 1)
    best = {column: _best(column, rows) for column in question.columns}
    more = FIGURES[question.plot].better == "more"
    for contender in sorted(rows, key=lambda each: (rows[each][question.plot] or 0) * (-1 if more else 1)):
        row = rows[contender]
        cells = [_cell(column, row[column], bold=contender in best[column]) for column in question.columns]
        value = row[question.plot]
        ratio = f"{value / ours:.2f}" if value and ours else "-"
        yield f"| {f'*{contender}*' if contender in LIMITS else contender} | {' | '.join(cells)} | {ratio} |"


def _best(column: str, rows: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Who has the best figure, as it is shown."""
    values = {name: row[column] for name, row in rows.items() if name not in LIMITS}
    present = [value for value in values.values() if value is not None]
    if column == "server_share" or not present:
        return []
    best = max(present) if FIGURES[column].better == "more" else min(present)
    return [name for name, value in values.items() if value is not None and _shown(column, value) == _shown(column, best)]


def _cell(column: str, value: float | None, *, bold: bool) -> str:
    if value is None:
        return "-"
    return f"**{_shown(column, value)}**" if bold else _shown(column, value)


def _shown(column: str, value: float) -> str:
    return FIGURES[column].shown.format(value)


def _remarks(found: Mapping[str, Any]) -> Iterator[str]:
    errors = {name: sorted({run["error"] for run in runs if run["error"]}) for name, runs in found["runs"].items()}
    for name, texts in errors.items():
        for text in texts:
            yield f"- {name} ended with an error: `{text}`"
    reasons: dict[str, list[str]] = {}
    for name, reason in found["absent"].items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"- Not asked: {', '.join(names)}: {reason}."
    yield ""


def _checked(checked: Mapping[str, Mapping[str, Sequence[Any]]]) -> Iterator[str]:
    yield "## Do all read the same?\n"
    yield "`python -m bench.field run check`: every byte of a small data set of each kind, hashed, sample by sample.\n"
    for kind, reads in checked.items():
        same = reads["asyncwds"]
        others = [name for name, read in reads.items() if read != same]
        verdict = f"not the same as asyncwds: {', '.join(others)}" if others else f"the same from {', '.join(reads)}"
        yield f"- {kind}: {same[0]} samples, {same[1]:,} bytes: {verdict}"
