"""The stages that show and record what passes through."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import printable, show_value
from asyncwds.pipeline.context import RunContext, StageStream, keeps_nothing
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage_run import StageRun, open_loop, run_alone
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.runtime.worker_info import WorkerInfo

T = TypeVar("T")


class Writable(Protocol):
    def write(self, text: str, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Info:
    """Writes about some of the samples that pass through: the first `n`, and with `every` above 0 every so many."""

    one_to_one: ClassVar[bool] = True
    fmt: str | None = None
    n: int = 3
    every: int = -1
    width: int = 50
    stream: Writable | None = None
    name: str = ""
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.text("info: fmt", self.fmt, optional=True)
        checks.text("info: name", self.name)
        checks.whole("info: n", self.n)
        checks.whole("info: every", self.every)
        checks.whole("info: width", self.width, 0)
        checks.function("info: handler", self.handler, takes=1)
        if self.stream is not None and not hasattr(self.stream, "write"):
            raise SpecError(f"info: stream must be a file of text, not {show_value(self.stream)}")

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        return open_loop(self._shown, source, context, "info", self.handler)

    def _shown(self, items: Iterator[Any], run: StageRun) -> Iterator[Any]:
        for number, sample in enumerate(items):
            run.item = sample
            if number < self.n or (self.every > 0 and (number + 1) % self.every == 0):
                try:
                    self._write(sample)
                except Exception as error:  # noqa: BLE001 - a format that does not fit; the handler decides
                    if run.goes_on(error):
                        continue
                    return
            yield sample

    def _write(self, sample: Any) -> None:
        stream = sys.stderr if self.stream is None else self.stream
        fields = (
            dict(sample) if isinstance(sample, dict) else dict(enumerate(sample)) if isinstance(sample, (tuple, list)) else None
        )
        if self.fmt is not None:
            values = [_safe(value) for value in ([sample] if fields is None else fields.values())]
            text = self.fmt.format(*values, **(dict(zip(sample, values, strict=True)) if isinstance(sample, dict) else {}))
        else:
            shown = {"": sample} if fields is None else fields
            text = "\n".join(
                [f"--- {self.name}", *[f"{printable(str(name))} {self._short(value)}" for name, value in shown.items()]]
            )
        stream.write(text + "\n")

    def _short(self, value: Any) -> str:
        # Of a field of megabytes, all would be turned into text to show its beginning.
        return repr(value[: self.width] if isinstance(value, (bytes, str)) else value)[: self.width]


def _safe(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class LogKeys:
    """Appends a line for each sample to a file: number, worker, rank, key, with tabs between.

    Worker and rank are the sample's `__worker__` and `__rank__` if it has them, else the place. Any number of processes may
    write to one file: each line is one write at its end.
    """

    one_to_one: ClassVar[bool] = True
    gives_what_it_takes: ClassVar[bool] = True
    logfile: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        checks.path("log_keys: logfile", self.logfile or None, optional=True)

    def __call__(self, source: Iterable[T]) -> Iterator[T]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        if not self.logfile:
            return StageStream(lambda: iter(source), source, closes=False, state=keeps_nothing)
        return StageStream(lambda: self._logged(source, context.worker_info), source, state=keeps_nothing)

    def _logged(self, source: Iterable[Any], place: WorkerInfo) -> Iterator[Any]:
        assert self.logfile is not None
        with Path(self.logfile).open("ab", buffering=0) as file:
            for number, sample in enumerate(source):
                fields = sample if isinstance(sample, dict) else {}
                worker, rank = fields.get("__worker__", place.worker), fields.get("__rank__", place.rank)
                file.write(f"{number}\t{worker}\t{rank}\t{printable(str(fields.get('__key__')))}\n".encode())
                yield sample


def info(  # noqa: PLR0917 - WebDataset's
    fmt: str | None = None,
    n: int = 3,
    every: int = -1,
    width: int = 50,
    stream: Writable | None = None,
    name: str = "",
    handler: Handler = reraise_exception,
) -> Info:
    """Writes the first `n` samples, and every `every`-th, to a stream (standard error by default).

    `fmt` is filled with the fields, as `"{__key__} {cls}"`; without it each field is a line, cut to `width` characters, under the
    `name` of this place in the pipeline.
    """
    return Info(fmt, n, every, width, stream, name, handler)


def log_keys(logfile: str | PathLike[str] | None = None) -> LogKeys:
    """Appends number, worker, rank and key of each sample to a file; without one it does nothing."""
    return LogKeys(logfile)
