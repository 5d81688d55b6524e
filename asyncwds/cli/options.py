"""The options of all commands that read shards. Light, for `--help`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from asyncwds.cli.json_log import begin_log

F = TypeVar("F", bound=Callable[..., Any])


class Location(click.ParamType):  # type: ignore[type-arg] # generic in later versions
    """A path, a URL or a pattern. Shells complete paths."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del ctx, param
        return [CompletionItem(incomplete, type="file")]


LOCATION = Location()


class Quantity(click.ParamType):  # type: ignore[type-arg] # generic in later versions
    """A number with one of some units, `7d`; for the error `examples` of such."""

    def __init__(self, name: str, units: Mapping[str, int], examples: str, kind: type[int | float]) -> None:
        self.name = name
        self._units = units
        self._examples = examples
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, self._kind):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower())
        if found is None or found[2] not in self._units:
            self.fail(f"{value!r} is no {self.name}, as {self._examples} are", param, ctx)
        return self._kind(float(found[1]) * self._units[found[2]])


_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
SIZE = Quantity("size", _BYTES | {f"{unit}b": nbytes for unit, nbytes in _BYTES.items()}, "500MB, 2G and 64MiB", int)
AGE = Quantity("age", _SECONDS, "90s, 30min, 12h, 7d and 2w", float)


def log_option(command: F) -> F:
    """For commands that show how far they are."""
    text = "Progress, messages and errors are lines of JSON on standard error."
    return click.option("--log-json", is_flag=True, expose_value=False, callback=begin_log, help=text)(command)


def reading_options(command: F) -> F:
    """The options that `asyncwds.cli.reading.sources` takes, and `--log-json`."""
    for option in (
        log_option,
        click.option(
            "--cache", type=LOCATION, metavar="FOLDER", help="Keep the shards in this folder, and take from there what it has."
        ),
        click.option("--profile", metavar="NAME", help="Profile of ~/.aws/config, for s3: urls."),
        click.option("--endpoint", metavar="URL", help="URL of the service that has the buckets."),
        click.option("--anonymous", is_flag=True, help="Send no credentials to buckets."),
        click.option(
            "--header",
            "headers",
            metavar="'NAME: VALUE'",
            multiple=True,
            help="Send this header to the web servers of the URLS, and to no others. May be given several times.",
        ),
    ):
        command = option(command)
    return command
