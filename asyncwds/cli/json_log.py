"""`--log-json`: what a command does, as lines of JSON on standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter, time
from typing import Any

import click

from asyncwds.cli.commands import LOG
from asyncwds.errors import WdsError, redact
from asyncwds.formatting.texts import printable

EVERY = 1.0  # [s] from one line on progress to the next


class JsonLog:
    """Each line has `event`, `time` [s since 1970], `seconds` since the command began, `command`, and what the event has."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._began = perf_counter()

    def write(self, event: str, **fields: Any) -> None:
        import json  # noqa: PLC0415 - most commands do without

        seconds = round(perf_counter() - self._began, 3)
        line = {"event": event, "time": round(time(), 3), "seconds": seconds, "command": self._command, **fields}
        click.echo(json.dumps(line, default=str), err=True)

    def write_error(self, error: WdsError | OSError) -> None:
        message = error.message if isinstance(error, WdsError) else str(error)
        place = {name: getattr(error, name, None) for name in ("url", "offset", "key")}
        self.write("error", kind=type(error).__name__, message=printable(redact(message)), **place)

    def write_warning(self, kind: str, message: str) -> None:
        self.write("warning", kind=kind, message=printable(redact(message)))

    def write_shard(self, shard: Mapping[str, Any]) -> None:
        """One that was written, as the report has it."""
        self.write("shard_written", **{**shard, "url": redact(shard["url"])})

    @contextmanager
    def take_warnings(self) -> Iterator[None]:
        """Those that are logged, of servers that don't answer above all."""
        import logging  # noqa: PLC0415 - as above

        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.write_warning(record.levelname.lower(), record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("asyncwds")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class ShardsRead:
    """Events of shards whose samples come. Without `mix` a shard has ended when the next one begins; with it, when another one has
    had two turns since it had its last one.
    """

    def __init__(self, log: JsonLog, *, mix: bool) -> None:
        self._log = log
        self._mix = mix
        self._open: dict[int, dict[str, Any]] = {}  # in the order of their latest turns

    def see(self, shard: int, url: str, samples: int, nbytes: int) -> None:
        if self._mix and shard in self._open:
            while (longest := next(iter(self._open))) != shard:
                self._end(longest)
        elif not self._mix and shard not in self._open:
            self.finish()
        counted = self._open.pop(shard, None)
        if counted is None:
            counted = {"url": redact(url), "samples": 0, "bytes": 0}
            self._log.write("shard_started", url=counted["url"])
        self._open[shard] = counted
        counted["samples"] += samples
        counted["bytes"] += nbytes

    def finish(self) -> None:
        """All that are open have ended."""
        for shard in [*self._open]:
            self._end(shard)

    def _end(self, shard: int) -> None:
        self._log.write("shard_finished", **self._open.pop(shard))


def current_log() -> JsonLog | None:
    """That of the command that runs, if it has been asked for one."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(LOG)


def begin_log(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """What the option `--log-json` does."""
    if wanted:
        log = JsonLog(context.command_path.removeprefix(context.find_root().command_path).strip())
        context.meta[LOG] = log
        context.with_resource(log.take_warnings())
        log.write("start")


def tell(text: str) -> None:
    """A line for people, on standard error, or an event."""
    log = current_log()
    if log is None:
        click.echo(text, err=True)
    else:
        log.write("message", message=text)
