"""`asyncwds show`: samples in the terminal, or on a page."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.json_log import tell
from asyncwds.cli.options import LOCATION, SIZE
from asyncwds.cli.tool_options import input_options, selection_options
from asyncwds.errors import redact
from asyncwds.formatting.texts import plural, printable

if TYPE_CHECKING:
    from asyncwds.tools.report import Report
    from asyncwds.tools.showing.terminal import Graphics

_SHOWN = 10  # samples
_ON_A_PAGE = 100


@click.command()
@input_options
@selection_options
@click.option("--field", "only", metavar="NAME", multiple=True, help="Only this field, with all of its text. Several are possible.")
@click.option(
    "--graphics",
    type=click.Choice(["auto", "kitty", "sixel", "blocks", "none"]),
    default="auto",
    show_default=True,
    help="How pictures are drawn; the terminal is asked.",
)
@click.option(
    "--html", type=LOCATION, metavar="FILE", help="Write one page of HTML, with pictures and players in it; 100 samples without -n."
)
@click.option(
    "--max-embedded", type=SIZE, default="8MB", show_default=True, help="With --html: larger recordings are not in the page."
)
@click.option("--force", is_flag=True, help="With --html: replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each sample.")
def show(urls: tuple[str, ...], *, html: str | None, force: bool, max_embedded: int, **options: Any) -> int:
    """Shows samples: text, JSON and pictures, and what recordings and arrays are; 10 samples if -n does not say how many.

    \b
    asyncwds show 'train-{000..099}.tar' -n 3
    asyncwds show s3://bucket/train-000000.tar --where 'cls == 3' --field json
    asyncwds show 'train-{000..099}.tar' --sample 0.001 -n 200 --html sheet.html
    """
    if html is None:
        if force:
            raise click.UsageError("--force is for --html")
        return _show_lines(urls, **options)
    if options["as_json"]:
        raise click.UsageError("--html and --json are two ways of showing samples")
    return _write_page(urls, html, force, max_embedded, options)


def _show_lines(urls: tuple[str, ...], *, only: tuple[str, ...], graphics: Graphics, as_json: bool, **options: Any) -> int:
    from asyncwds.cli.tool_arguments import inputs_of, selection_of  # noqa: PLC0415 - heavy
    from asyncwds.tools.report import Report  # noqa: PLC0415 - as above
    from asyncwds.tools.show import show_samples  # noqa: PLC0415 - as above
    from asyncwds.tools.showing.terminal import choose_style  # noqa: PLC0415 - as above

    inputs, report = replace(inputs_of(urls, "show", options), watch=None), Report()  # a bar would stand between the lines
    style = choose_style(sys.stdout, "none" if as_json else graphics, lines=None if only else 20)
    with closing(show_samples(inputs, selection_of(options), only=only, report=report)) as samples:
        for number, sample in enumerate(samples):
            if number == _SHOWN and options["limit"] is None:
                tell(f"asyncwds: there are more samples than {_SHOWN}: -n says how many are shown")
                break
            text = json.dumps(sample.as_dict()) if as_json else "\n".join([*sample.lines(style), ""])
            click.echo(text, color=True)
    return _tell_missing(report, only) or _tell_damaged(report)


def _write_page(urls: tuple[str, ...], target: str, force: bool, max_embedded: int, options: dict[str, Any]) -> int:
    from asyncwds.cli.tool_arguments import inputs_of, selection_of  # noqa: PLC0415 - heavy
    from asyncwds.tools.show import write_contact_sheet  # noqa: PLC0415 - as above

    limit = _ON_A_PAGE if options["limit"] is None else options["limit"]
    inputs, selection = inputs_of(urls, "show", options), replace(selection_of(options), limit=limit)
    report = write_contact_sheet(inputs, target, selection, only=options["only"], max_embedded=max_embedded, force=force)
    tell(f"asyncwds: {plural(report.samples_out, 'sample')} in {printable(redact(target))}")
    if options["limit"] is None and report.samples_in >= _ON_A_PAGE:
        tell(f"asyncwds: no more than {_ON_A_PAGE} samples are looked at: -n says how many")
    return _tell_missing(report, options["only"]) or _tell_damaged(report)


def _tell_missing(report: Report, only: tuple[str, ...]) -> int:
    """The data are wrong where no sample has what was asked for."""
    from asyncwds.tools.report import DATA, OK  # noqa: PLC0415 - heavy

    without, names = report.dropped["no such field"], printable(" or ".join(only))
    if without:
        tell(f"asyncwds: {'no sample has' if not report.samples_out else plural(without, 'sample') + ' without'} a field {names}")
    return DATA if without and not report.samples_out else OK


def _tell_damaged(report: Report) -> int:
    for error in report.damaged:
        tell(printable(f"asyncwds: damaged: {error}"))
    return report.status
