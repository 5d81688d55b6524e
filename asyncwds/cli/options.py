"""The options of all commands that read shards. Light, for `--help`."""

from __future__ import annotations

from collections.abc import Callable
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
