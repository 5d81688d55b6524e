"""What the Trace Event Format asks of a file, checked strictly."""

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

Event = dict[str, Any]

KEYS = {
    "X": {"ph", "name", "ts", "dur", "pid", "tid", "args"},
    "i": {"ph", "name", "ts", "s", "pid", "tid", "args"},
    "C": {"ph", "name", "ts", "pid", "tid", "args"},
    "M": {"ph", "name", "ts", "pid", "tid", "args"},
    "s": {"ph", "name", "cat", "id", "ts", "pid", "tid", "args"},
    "f": {"ph", "name", "cat", "id", "ts", "pid", "tid", "args", "bp"},
}


def read_trace(path: Path) -> list[Event]:
    """The events of a trace that is well-formed: all named, spans of a row inside each other, each arrow with both its ends."""
    trace = json.loads(path.read_text(), parse_float=Decimal)
    assert trace.keys() == {"displayTimeUnit", "traceEvents"}
    events: list[Event] = trace["traceEvents"]
    for event in events:
        assert event.keys() == KEYS[event["ph"]], event
        assert event["name"]
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert event["ts"] >= 0
    _check_names(events)
    _check_nesting(events)
    _check_arrows(events)
    assert all(type(value) in (int, Decimal) for event in of(events, "C") for value in event["args"].values())
    return events


def of(events: list[Event], phase: str, name: str | None = None) -> list[Event]:
    return [event for event in events if event["ph"] == phase and name in (None, event["name"])]


def rows(events: list[Event]) -> dict[tuple[int, int], str]:
    """Their names."""
    return {(event["pid"], event["tid"]): event["args"]["name"] for event in of(events, "M", "thread_name")}


def in_row(events: list[Event], row: str) -> list[Event]:
    named = rows(events)
    return [event for event in of(events, "X") if named[event["pid"], event["tid"]] == row]


def _check_names(events: list[Event]) -> None:
    processes = [event["pid"] for event in of(events, "M", "process_name")]
    assert len(processes) == len(set(processes))
    assert {event["pid"] for event in events} <= set(processes)
    named = rows(events)
    assert len(named) == len(of(events, "M", "thread_name")) == len(of(events, "M", "thread_sort_index"))
    assert {(event["pid"], event["tid"]) for event in events if event["ph"] in "Xisf"} <= named.keys()
    assert len(set(named.items())) == len({(pid, name) for (pid, _), name in named.items()})


def _spans_by_row(events: list[Event]) -> dict[tuple[int, int], list[tuple[Decimal, Decimal, str]]]:
    found = defaultdict(list)
    for event in of(events, "X"):
        assert event["dur"] >= 0
        found[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"], event["name"]))
    return found


def _check_nesting(events: list[Event]) -> None:
    for spans in _spans_by_row(events).values():
        around: list[tuple[Decimal, Decimal, str]] = []
        for span in sorted(spans, key=lambda span: (span[0], -span[1])):
            while around and around[-1][1] <= span[0]:
                around.pop()
            assert not around or span[1] <= around[-1][1], f"{span} ends after {around[-1]}, in which it begins"
            around.append(span)


def _check_arrows(events: list[Event]) -> None:
    begins = {event["id"]: event for event in of(events, "s")}
    ends = {event["id"]: event for event in of(events, "f")}
    assert len(begins) == len(of(events, "s"))
    assert len(ends) == len(of(events, "f"))
    assert ends.keys() <= begins.keys()  # a block may be on its way when the trace ends
    spans = _spans_by_row(events)
    for event in (*begins.values(), *ends.values()):
        assert any(first <= event["ts"] <= last for first, last, _ in spans[event["pid"], event["tid"]]), event
    for number, event in ends.items():
        assert begins[number]["ts"] <= event["ts"]
        assert begins[number]["pid"] == event["pid"]
