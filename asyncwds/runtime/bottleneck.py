"""What limits a stream, found in where its time went; pure functions of numbers.

The consumer's thread does one thing at a time, so its time can be divided: it waits for the engine, is in a stage, or is
with the consumer. Waiting for the engine is divided by what the engine did meanwhile: it unpacked, or waited for bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

NETWORK, DISK, SOURCE, SHARDS, PARSER = "network", "disk", "source", "shards", "parser"
LOADER, CONSUMER = "loader", "consumer"
OF_THE_ENGINE = (NETWORK, DISK, SOURCE, SHARDS, PARSER)

Times = dict[str, float]


def own_times(inclusive: Iterable[tuple[str, float]]) -> Times:
    """What each stage took by itself, from what each took together with those before it, in their order."""
    times: Times = {}
    before = 0.0
    for name, seconds in inclusive:
        label, number = name, 2
        while label in times:
            label, number = f"{name} ({number})", number + 1
        times[label] = max(0.0, seconds - before)
        before = max(before, seconds)
    return times


def added(*many: Mapping[str, float]) -> Times:
    """Sums by name."""
    total: Times = {}
    for times in many:
        for name, seconds in times.items():
            total[name] = total.get(name, 0.0) + seconds
    return total


def resolved(outer: Mapping[str, float], head: str, inner: Mapping[str, float], *, starting: float | None) -> Times:
    """The outer times, with what the head of the outer pipeline took divided as the inner ones are.

    Where the inner pipelines are in workers `starting` [s] is what it took to start these, and what they spent outside of
    themselves is collating and handing over. In the same process, None, it is the outer stages, which are known already.
    """
    if head not in outer:
        return dict(outer)
    in_process = starting is None
    parts = {
        (LOADER if name == CONSUMER else name): seconds for name, seconds in inner.items() if not in_process or name != CONSUMER
    }
    total = sum(parts.values())
    if total <= 0:
        return dict(outer)
    start = min(starting or 0.0, outer[head])
    scale = (outer[head] - start) / total
    rest = {name: seconds for name, seconds in outer.items() if name != head}
    return in_order(added({name: seconds * scale for name, seconds in parts.items()}, {LOADER: start}, rest))


def in_order(times: Mapping[str, float]) -> Times:
    """The engine's, then the stages, then the consumer; without those that are 0."""
    first = [name for name in OF_THE_ENGINE if name in times]
    last = [name for name in (LOADER, CONSUMER) if name in times]
    stages = [name for name in times if name not in {*first, *last}]
    return {name: times[name] for name in (*first, *stages, *last) if times[name] > 0}


def largest(times: Mapping[str, float]) -> str | None:
    return max(times, key=lambda name: times[name]) if times else None


def shares(times: Mapping[str, float]) -> str:
    """`network 88 %, decode 9 %`: those of 1 % and more, the largest first, four at most."""
    total = sum(times.values())
    ordered = sorted(times.items(), key=lambda item: -item[1])[:4]
    return ", ".join([f"{name} {100 * seconds / total:.0f} %" for name, seconds in ordered if seconds >= total / 100])
