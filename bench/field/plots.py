"""A plot for each question: bars, or lines over the number of fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.field.figures import FIGURES, LIMITS, figures
from bench.field.questions import Question

OURS, THEIRS, LIMIT = "#2a7f62", "#8d99ae", "#d9d9d9"


def plot(question: Question, found: Mapping[str, Any], path: Path) -> None:
    """Writes `path` with .svg and .png."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "asyncwds", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    rows = {name: row[question.plot] for name, row in figures(question.columns, found["runs"], found["samples"]).items()}
    present = {name: value for name, value in rows.items() if value is not None}
    figure = _lines(question, present) if all("fields" in name for name in present) else _bars(question, present)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=120)


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), layout="constrained")
    return figure, figure.add_subplot()


def _bars(question: Question, values: Mapping[str, float]) -> Any:
    figure, axes = _figure(0.6 + 0.3 * len(values))
    names = sorted(values, key=values.__getitem__, reverse=FIGURES[question.plot].better == "less")
    colours = [LIMIT if name in LIMITS else OURS if "asyncwds" in name else THEIRS for name in names]
    bars = axes.barh(names, [values[name] for name in names], color=colours)
    axes.bar_label(bars, [FIGURES[question.plot].shown.format(values[name]) for name in names], padding=3)
    axes.set_xlabel(FIGURES[question.plot].heading)
    axes.margins(x=0.12)
    return figure


def _lines(question: Question, values: Mapping[str, float]) -> Any:
    figure, axes = _figure(3)
    series: dict[str, list[tuple[int, float]]] = {}
    for name, value in values.items():
        contender, _, fields = name.rpartition(", ")
        series.setdefault(contender, []).append((int(fields.split()[0]), value))
    for contender, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=contender, color=OURS if contender == "asyncwds" else None)
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
    axes.set_xlabel("fields of a batch")
    axes.set_ylabel(FIGURES[question.plot].heading)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure
