"""The options of all commands that read shards. Light, for `--help`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def reading_options(command: F) -> F:
    """The options that `asyncwds.cli.reading.sources` takes."""
    for option in (
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
