"""The options of all commands that read shards. Light, for `--help`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from asyncwds.cli.json_log import begin_log

F = TypeVar("F", bound=Callable[..., Any])


def log_option(command: F) -> F:
    """For commands that show how far they are."""
    text = "Progress, messages and errors are lines of JSON on standard error."
    return click.option("--log-json", is_flag=True, expose_value=False, callback=begin_log, help=text)(command)


def reading_options(command: F) -> F:
    """The options that `asyncwds.cli.reading.sources` takes, and `--log-json`."""
    for option in (
        log_option,
        click.option("--cache", metavar="FOLDER", help="Keep the shards in this folder, and take from there what it has."),
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
