"""The command line: nothing else prints.

Heavy imports stand inside the commands, and these are imported when they are called: `asyncwds --help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from asyncwds import __version__
from asyncwds.cli.commands import LazyGroup
from asyncwds.errors import WdsError, redact
from asyncwds.formatting.escaping import printable
from asyncwds.tools.report import INTERRUPTED, UNREAD, USAGE, status_of


class _Main(LazyGroup):
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
        except OSError as error:  # of a file that is no shard: a list, a folder for what waits
            click.echo(printable(f"asyncwds: {type(error).__name__}: {error}"), err=True)
            sys.exit(status_of(error))


def _has_no_reader(error: WdsError) -> bool:
    """Whether standard output, to which a shard or a table was written, is a pipe that nobody reads any more."""
    return error.url == "-" and isinstance(error.__cause__, BrokenPipeError)


def _end_unread() -> NoReturn:
    """As other programs end when the reader of their output has gone (`| head`), which is no news to anybody."""
    sys.stdout = None  # Python would complain when it flushes it at exit
    sys.exit(UNREAD)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """In one line, without the place in our sources."""
    click.echo(printable(redact(f"asyncwds: {category.__name__}: {message}")), err=True)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Streams WebDataset shards from disks, web servers and buckets with many requests in flight."""
