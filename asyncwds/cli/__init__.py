"""The command line: nothing else prints.

Heavy imports stand inside the commands, so that `asyncwds --help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from asyncwds import __version__
from asyncwds.cli.bench import bench
from asyncwds.cli.cache import list_cache
from asyncwds.cli.cat import cat
from asyncwds.cli.cp import copy_shards
from asyncwds.cli.create import create
from asyncwds.cli.dedup import dedup
from asyncwds.cli.demo import demo
from asyncwds.cli.diff import diff
from asyncwds.cli.export import export
from asyncwds.cli.filter import filter_samples
from asyncwds.cli.get import get
from asyncwds.cli.index import make_index
from asyncwds.cli.join import join
from asyncwds.cli.ls import list_samples
from asyncwds.cli.map import map_samples
from asyncwds.cli.mix import mix
from asyncwds.cli.proc import proc
from asyncwds.cli.show import show
from asyncwds.cli.shuffle import shuffle
from asyncwds.cli.sort import sort
from asyncwds.cli.split import split
from asyncwds.cli.stat import stat
from asyncwds.cli.state import state
from asyncwds.cli.verify import verify
from asyncwds.cli.video import video
from asyncwds.cli.view import view_shards
from asyncwds.errors import WdsError
from asyncwds.formatting.escaping import printable
from asyncwds.tools.report import INTERRUPTED, UNREAD, USAGE, status_of


class _Main(click.Group):
    """Turns our errors into one line on stderr and an exit status, see `asyncwds.tools.report`."""

    def main(self, *args: Any, **options: Any) -> Any:
        """What a command returns is its exit status."""
        try:
            status = super().main(*args, **{**options, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            sys.exit(USAGE)
        except click.Abort:  # Ctrl-C
            click.echo("asyncwds: interrupted", err=True)
            sys.exit(INTERRUPTED)
        sys.exit(status)

    def invoke(self, context: click.Context) -> Any:
        # What the encoding of the terminal does not have is shown escaped, as on stderr.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(context)
        except WdsError as error:
            if _has_no_reader(error):
                _end_unread()
            click.echo(f"asyncwds: {type(error).__name__}: {error}", err=True)
            sys.exit(status_of(error))
        except BrokenPipeError:
            _end_unread()


def _has_no_reader(error: WdsError) -> bool:
    """Whether standard output, to which a shard or a table was written, is a pipe that nobody reads any more."""
    return error.url == "-" and isinstance(error.__cause__, BrokenPipeError)


def _end_unread() -> NoReturn:
    """As other programs end when the reader of their output has gone (`| head`), which is no news to anybody."""
    sys.stdout = None  # Python would complain when it flushes it at exit
    sys.exit(UNREAD)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """In one line, without the place in our sources."""
    click.echo(printable(f"asyncwds: {category.__name__}: {message}"), err=True)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Streams WebDataset shards from disks, web servers and buckets with many requests in flight."""


_COMMANDS = (
    list_samples, show, get, stat, view_shards,
    create, cat, split, shuffle, sort, filter_samples, join, mix, proc, map_samples, export,
    copy_shards, dedup, diff, verify, video,
    bench, make_index, list_cache, state, demo,
)  # fmt: skip
for command in _COMMANDS:
    main.add_command(command)
main.add_command(split, "reshard")
