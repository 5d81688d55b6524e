"""The command line: nothing else prints.

Heavy imports stand inside the commands, and these are imported when they are called: `asyncwds --help` answers at once.
"""

from __future__ import annotations

import sys
import warnings
from functools import partial
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import click

from asyncwds import __version__
from asyncwds.cli.commands import LOG, LazyGroup
from asyncwds.cli.interruption import Interruption
from asyncwds.errors import WdsError, redact
from asyncwds.formatting.texts import printable
from asyncwds.tools.report import OK, UNREAD, USAGE, status_of

if TYPE_CHECKING:
    from asyncwds.cli.json_log import JsonLog


class _Main(LazyGroup):
    """Turns our errors into one line on stderr and an exit status, see `asyncwds.tools.report`."""

    def main(self, *args: Any, **options: Any) -> Any:
        """What a command returns is its exit status."""
        with Interruption() as interruption:
            try:
                status = super().main(*args, **{**options, "standalone_mode": False, "obj": interruption})
            except click.ClickException as error:
                error.show()
                sys.exit(USAGE)
            except click.Abort:
                click.echo("asyncwds: interrupted", err=True)
                sys.exit(interruption.status)
        sys.exit(status)

    def invoke(self, context: click.Context) -> Any:
        # What the encoding of the terminal does not have is shown escaped, as on stderr.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        status = USAGE
        try:
            status = self._run(context) or OK
        except (KeyboardInterrupt, click.Abort):
            status = (context.find_object(Interruption) or Interruption()).status
            raise
        finally:
            if (log := _log_of(context)) is not None:
                log.write("end", status=status)
        return status

    def _run(self, context: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = partial(_show_warning, context)
                return super().invoke(context)
        except WdsError as error:
            return _end_unread() if _has_no_reader(error) else _show_error(context, error)
        except BrokenPipeError:
            return _end_unread()
        except OSError as error:  # of a file that is no shard: a list, a folder for what waits
            return _show_error(context, error)


def _log_of(context: click.Context) -> JsonLog | None:
    return context.meta.get(LOG)


def _has_no_reader(error: WdsError) -> bool:
    """Whether standard output, to which a shard or a table was written, is a pipe that nobody reads any more."""
    return error.url == "-" and isinstance(error.__cause__, BrokenPipeError)


def _end_unread() -> int:
    """As other programs end when the reader of their output has gone (`| head`), which is no news to anybody."""
    sys.stdout = None  # Python would complain when it flushes it at exit
    return UNREAD


def _show_error(context: click.Context, error: WdsError | OSError) -> int:
    if (log := _log_of(context)) is not None:
        log.write_error(error)
    else:
        click.echo(printable(f"asyncwds: {type(error).__name__}: {error}"), err=True)
    return status_of(error)


def _show_warning(context: click.Context, message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """In one line, without the place in our sources."""
    if (log := _log_of(context)) is not None:
        log.write_warning(category.__name__, str(message))
    else:
        click.echo(printable(redact(f"asyncwds: {category.__name__}: {message}")), err=True)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Streams WebDataset shards from disks, web servers and buckets with many requests in flight."""
