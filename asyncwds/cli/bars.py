"""How far a command is: a bar on a terminal, lines of JSON where they are asked for, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from asyncwds.cli.json_log import EVERY, JsonLog, current_log

if TYPE_CHECKING:
    import logging

    from tqdm import tqdm


class Display(Protocol):
    def advance(self, number: int = 1, nbytes: int = 0) -> object:
        """So many more are done, of so many [bytes]."""
        ...

    def note(self, text: str) -> object:
        """What people should know beside the numbers."""
        ...


def is_shown() -> bool:
    """Whether there is anybody to be shown how far it is. Does not import what makes bars, which takes 30 ms."""
    return current_log() is not None or (sys.stderr is not None and sys.stderr.isatty())


@contextmanager
def show_progress(label: str, unit: str, total: int | None = None) -> Iterator[Display]:
    """`unit` is what is counted: samples, shards."""
    log = current_log()
    if log is not None:
        lines = _Lines(log, unit, total)
        yield lines
        lines.write()
    elif not is_shown():
        yield _Nothing()
    else:
        from tqdm import tqdm  # noqa: PLC0415 - heavy

        with tqdm(total=total, desc=label, unit=f" {unit}", leave=False) as bar, _warnings_in(bar):
            yield _Bar(bar)


class _Nothing:
    def advance(self, number: int = 1, nbytes: int = 0) -> None:
        """Nobody is shown it."""

    def note(self, text: str) -> None:
        """As above."""


class _Bar:
    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def advance(self, number: int = 1, nbytes: int = 0) -> None:
        del nbytes
        self._bar.update(number)

    def note(self, text: str) -> None:
        self._bar.set_postfix_str(text, refresh=False)


class _Lines:
    """Events `progress`, the last of them at the end."""

    def __init__(self, log: JsonLog, unit: str, total: int | None) -> None:
        self._log = log
        self._unit = unit
        self._total = total
        self._began = perf_counter()
        self._due = self._began + EVERY
        self._done = self._bytes = 0

    def advance(self, number: int = 1, nbytes: int = 0) -> None:
        self._done += number
        self._bytes += nbytes
        if perf_counter() >= self._due:
            self.write()

    def note(self, text: str) -> None:
        """For people."""

    def write(self) -> None:
        now = perf_counter()
        self._due = now + EVERY
        rates = [round(count / max(now - self._began, 1e-6), 1) for count in (self._done, self._bytes)]
        self._log.write(
            "progress",
            unit=self._unit,
            done=self._done,
            total=self._total,
            bytes=self._bytes,
            per_second=rates[0],
            bytes_per_second=rates[1],
        )


@contextmanager
def _warnings_in(bar: tqdm[Any]) -> Iterator[None]:
    """What is logged meanwhile, of servers that don't answer above all, is shown behind the bar and not across it."""

    import logging  # noqa: PLC0415 - those without a bar do without

    def show(record: logging.LogRecord) -> bool:
        bar.set_postfix_str(record.getMessage())
        return False

    logger = logging.getLogger("asyncwds")
    logger.addFilter(show)
    try:
        yield
    finally:
        logger.removeFilter(show)
