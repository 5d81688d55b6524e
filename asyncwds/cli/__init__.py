"""The command line: nothing else prints.

Heavy imports stand inside the commands, so that `asyncwds --help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from io import TextIOWrapper
from typing import Any

import click

from asyncwds import __version__
from asyncwds.cli.bench import bench
from asyncwds.cli.cache import list_cache
from asyncwds.cli.demo import demo
from asyncwds.cli.index import make_index
from asyncwds.cli.ls import list_samples
from asyncwds.cli.state import state
from asyncwds.errors import WdsError
from asyncwds.formatting.escaping import printable


class _Main(click.Group):
    """Turns our errors into one line on stderr and exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        # What the encoding of the terminal does not have is shown escaped, as on stderr.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(context)
        except WdsError as error:
            click.echo(f"asyncwds: {type(error).__name__}: {error}", err=True)
            sys.exit(1)
        except BrokenPipeError:
            # The reader of our output has gone (`| head`); Python would complain again when it flushes at exit.
            sys.stdout = None
            sys.exit(0)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """In one line, without the place in our sources."""
    click.echo(printable(f"asyncwds: {category.__name__}: {message}"), err=True)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Streams WebDataset shards from disks, web servers and buckets with many requests in flight."""


for command in (list_samples, bench, make_index, list_cache, state, demo):
    main.add_command(command)
