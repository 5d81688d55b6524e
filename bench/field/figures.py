"""Figures of runs: medians, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Run = Mapping[str, Any]
LIMITS = ("bare download", "simplejpeg alone, 2 threads", "nothing beside it")
"""Contenders that say what can be had; they do not take part."""


@dataclass(frozen=True)
class Figure:
    """`value` of one run that read something, given the samples that there are; `better` is "more" or "less"."""

    heading: str
    value: Callable[[Run, int], float]
    shown: str
    better: str = "less"


def _per_second(run: Run, _: int) -> float:
    return float(run["samples"] / run["seconds"])


FIGURES: Mapping[str, Figure] = {
    "mb_per_second": Figure("MB/s", lambda run, _: run["bytes"] / run["seconds"] / 1e6, "{:,.0f}", "more"),
    "gb_per_second": Figure("GB/s", lambda run, _: run["bytes"] / run["seconds"] / 1e9, "{:.2f}", "more"),
    "samples_per_second": Figure("samples/s", _per_second, "{:,.0f}", "more"),
    "batches_per_second": Figure("batches/s", _per_second, "{:,.0f}", "more"),
    "us_per_sample": Figure("µs/sample", lambda run, _: run["seconds"] / run["samples"] * 1e6, "{:,.1f}"),
    "cpu_per_gb": Figure("CPU-s/GB", lambda run, _: run["cpu"] / run["bytes"] * 1e9, "{:.2f}"),
    "cpu_per_thousand": Figure("CPU-s/1000", lambda run, _: run["cpu"] / run["samples"] * 1e3, "{:.2f}"),
    "server_share": Figure("server's cores", lambda run, _: run["server_cpu"] / run["seconds"], "{:.2f}"),
    "first_ms": Figure("first after ms", lambda run, _: run["first"] * 1e3, "{:,.0f}"),
    "cold_ms": Figure("cold, ms", lambda run, _: run["cold"] * 1e3, "{:,.0f}"),
    "warm_ms": Figure("warm, ms", lambda run, _: run["warm"] * 1e3, "{:,.0f}"),
    "peak_mb": Figure("peak MB", lambda run, _: run["peak"] / 1e6, "{:,.0f}"),
    "step_ms": Figure("step, ms", lambda run, _: run["step"] * 1e3, "{:.0f}"),
    "slower": Figure("over alone", lambda run, _: run["step"] * 1e3, "{:.2f}"),
    "had": Figure("samples had", lambda run, samples: min(1.0, run["samples"] / samples), "{:.1%}", "more"),
}


def usable(runs: Sequence[Run]) -> list[Run]:
    """Runs that read something."""
    return [run for run in runs if run.get("samples") or run.get("bytes")]


def figure(name: str, runs: Sequence[Run], samples: int) -> float | None:
    """The median over the runs, or None where none read anything."""
    values = [FIGURES[name].value(run, samples) for run in usable(runs)]
    return median(values) if values else None


def figures(columns: Sequence[str], runs: Mapping[str, Sequence[Run]], samples: int) -> dict[str, dict[str, float | None]]:
    """By contender and column. "slower" is over the first contender, which has nothing beside it."""
    found = {name: {column: figure(column, each, samples) for column in columns} for name, each in runs.items()}
    if "slower" in columns:
        alone = next(iter(found.values()))["slower"]
        for row in found.values():
            row["slower"] = row["slower"] / alone if row["slower"] and alone else None
    return found
