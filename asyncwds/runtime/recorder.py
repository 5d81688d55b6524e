"""What one iteration does and when, as events of a trace: `Recorder`.

A process of the trace is an iteration, since two of them may run in a process of the system at once, and its threads are rows:

    consumer          what the consumer's thread does: waits, stages, blocks taken, and what is left: your loop
    reader            what the engine's thread does for it: unpacks, waits for bytes, hands over, waits for room
    part 1, 2, ...    parts being fetched, as many rows as there were at once
    request 1, 2, ... requests over HTTP, likewise
    decode 1, 2, ...  workers of a parallel stage

An event is written at once, to memory that is mapped from a file: a copy, and no system call, which would hand the interpreter to
another thread for up to 5 ms. So memory is bounded, and a process that is killed has lost nothing. Each thread has a file of its
own, and there are no locks.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from threading import get_ident
from time import perf_counter
from typing import Any

from asyncwds.runtime.units import KiB
from asyncwds.runtime.worker_info import FORKS

CHUNK = 256 * KiB  # [bytes] mapped at a time, of each thread's file
FULL = "-full"  # the end of the name of a file that says that events were dropped
CONSUMER, READER = "consumer", "reader"
# The order of rows, by what stands before their number; workers of stages come behind the reader.
_ORDER = {CONSUMER: 1, READER: 2, "part": 10_000, "request": 20_000}
_STAGES = 1000


class Recorder:
    """The events of one iteration. Times are those of `perf_counter` [s], which all processes of a system share.

    `folder` gets the files, named after `number`, at most `most` [bytes] of them; what comes then is dropped.
    """

    def __init__(self, folder: Path, number: int, title: str, most: int) -> None:
        self._folder = folder
        self._number = number
        self._left = most // CHUNK
        self._forks = FORKS.number
        self._files: dict[int, _EventFile] = {}  # by thread
        self._rows: dict[str, int | None] = {}  # None: there was no room for its name
        self._next_row = count(1)
        self._free: dict[str, list[int]] = {}  # rows of a kind in which nothing is under way
        self._used: dict[str, int] = {}
        self._flows = count()
        self._name("process_name", 0, {"name": title})
        self._name("process_sort_index", 0, {"sort_index": number})

    def span(self, row: str, name: str, began: float, ended: float, /, **args: Any) -> None:
        """Something that took from one moment to another. In a row they are beside each other or inside each other."""
        first, last = int(began * 1e9), int(ended * 1e9)
        self._put(f'"ph":"X","name":{_json(name)},"ts":{_micros(first)},"dur":{_micros(last - first)}', self._row(row), args)

    def mark(self, row: str, name: str, /, **args: Any) -> None:
        """Something that happened now."""
        self._put(f'"ph":"i","s":"t","name":{_json(name)},"ts":{_now()}', self._row(row), args)

    def measure(self, name: str, /, **values: float) -> None:
        """How much there is from now on."""
        self._put(f'"ph":"C","name":{_json(name)},"ts":{_now()}', 0, values)

    def hand_over(self, row: str, name: str, /, **args: Any) -> int | None:
        """Something goes from here to another row: an arrow. Gives the number by which it arrives there, None if it was dropped."""
        number = self._number << 32 | next(self._flows)
        return number if self._send("s", row, name, number, args) else None

    def arrive(self, row: str, name: str, number: int | None, /, **args: Any) -> None:
        if number is not None:
            self._send("f", row, name, number, args)

    def begin(self, kind: str, name: str, /, **args: Any) -> Span:
        """Something that ends later, beside others of its kind, in a row that is free now. On one thread for each kind."""
        free = self._free.setdefault(kind, [])
        row = heappop(free) if free else self._used.get(kind, 0) + 1
        self._used[kind] = max(self._used.get(kind, 0), row)
        return Span(self, kind, row, name, args)

    def end(self, span: Span) -> None:
        self.span(span.row, span.name, span.began, perf_counter(), **span.args)
        heappush(self._free[span.kind], span.number)

    def _send(self, phase: str, row: str, name: str, number: int, args: dict[str, Any]) -> bool:
        """An arrow begins and ends at a span, so there is one of no length to speak of."""
        now = int(perf_counter() * 1e9)
        thread, quoted = self._row(row), _json(name)
        span = f'"ph":"X","name":{quoted},"ts":{_micros(now)},"dur":1'
        binding = ',"bp":"e"' if phase == "f" else ""
        arrow = f'"ph":"{phase}"{binding},"cat":"block","name":{quoted},"id":{number},"ts":{_micros(now)}'
        return self._write(thread, self._line(span, thread, args) + self._line(arrow, thread, {}))

    def _row(self, name: str) -> int | None:
        if name not in self._rows:
            row = next(self._next_row)
            whole = self._name("thread_name", row, {"name": name})
            whole = whole and self._name("thread_sort_index", row, {"sort_index": _place(name, row)})
            self._rows[name] = row if whole else None
        return self._rows[name]

    def _name(self, kind: str, row: int, args: dict[str, Any]) -> bool:
        return self._put(f'"ph":"M","name":"{kind}","ts":0', row, args)

    def _put(self, event: str, row: int | None, args: dict[str, Any]) -> bool:
        return self._write(row, self._line(event, row, args))

    def _line(self, event: str, row: int | None, args: dict[str, Any]) -> str:
        text = ",".join([f'"{name}":{_json(value)}' for name, value in args.items()])
        return f'{{{event},"pid":{self._number},"tid":{row},"args":{{{text}}}}}\n'

    def _write(self, row: int | None, lines: str) -> bool:
        """Whether there was room. What belongs together is written at once."""
        if row is None or self._forks != FORKS.number:  # a child has its parent's files mapped
            return False
        thread = get_ident()
        file = self._files.get(thread)
        if file is None:
            file = self._files[thread] = _EventFile(self._folder / f"{self._number}-{len(self._files)}-{thread}", self._grows)
        return file.write(lines.encode())

    def _grows(self) -> bool:
        """Whether there may be one more chunk: the trace is still being recorded, and has not become too large."""
        if not self._folder.is_dir():
            return False
        self._left -= 1
        if self._left < 0:
            (self._folder / f"{self._number}{FULL}").touch()
        return self._left >= 0


class Span:
    """Something under way. `args` may be added to until it ends; `end` is to be called once."""

    __slots__ = ("_recorder", "args", "began", "kind", "name", "number")

    def __init__(self, recorder: Recorder, kind: str, number: int, name: str, args: dict[str, Any]) -> None:
        self._recorder = recorder
        self.kind = kind
        self.number = number
        self.name = name
        self.args = args
        self.began = perf_counter()

    @property
    def row(self) -> str:
        return f"{self.kind} {self.number}"

    def inner(self, name: str, began: float, /, **args: Any) -> None:
        """A part of it that ends now."""
        self._recorder.span(self.row, name, max(began, self.began), perf_counter(), **args)

    def end(self) -> None:
        self._recorder.end(self)


class _EventFile:
    """Lines of JSON of one thread, in chunks that are filled up with zeros."""

    def __init__(self, path: Path, grows: Callable[[], bool]) -> None:
        self._path = path
        self._grows = grows
        self._chunks = 0
        self._at = CHUNK
        self._memory: mmap.mmap | None = None

    def write(self, lines: bytes) -> bool:
        end = self._at + len(lines)
        if end > CHUNK:
            if len(lines) > CHUNK or not self._grow():
                return False
            end = len(lines)
        assert self._memory is not None
        self._memory[end - len(lines) : end] = lines
        self._at = end
        return True

    def _grow(self) -> bool:
        self._memory, self._at = None, CHUNK
        if not self._grows():
            return False
        try:
            with self._path.open("ab+") as file:
                file.write(bytes(CHUNK))  # a hole that the disk has no room for would end the process when it is written to
                file.flush()
                self._memory = mmap.mmap(file.fileno(), CHUNK, offset=self._chunks * CHUNK)
        except OSError:  # the trace has just ended, or the disk is full
            return False
        self._chunks += 1
        self._at = 0
        return True


def _place(name: str, row: int) -> int:
    kind, _, number = name.rpartition(" ")
    return _ORDER[kind] + int(number) if kind in _ORDER else _ORDER.get(name, _STAGES + row)


def _micros(nanoseconds: int) -> str:
    """[µs], exact: what is inside of something else must not end after it because it was rounded."""
    return f"{nanoseconds // 1000}.{nanoseconds % 1000:03d}"


def _now() -> str:
    return _micros(int(perf_counter() * 1e9))


def _json(value: Any) -> str:
    return str(value) if type(value) is int else json.dumps(value)  # 0.1 in place of 2 us


def lines_of(path: Path) -> list[str]:
    """The events of a file, some of a thread that is still running: what is being written now is left out."""
    data = path.read_bytes()
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    return [line for chunk in chunks for line in chunk.rstrip(b"\0").decode().splitlines() if line.endswith("}}")]
