"""`asyncwds show`: samples in the terminal, or on a page."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.tool_options import input_options, selection_options
from asyncwds.formatting.escaping import printable

if TYPE_CHECKING:
    from asyncwds.tools.showing.terminal import Graphics

_SHOWN = 10  # samples


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
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each sample.")
def show(urls: tuple[str, ...], *, only: tuple[str, ...], graphics: Graphics, as_json: bool, **options: Any) -> int:
    """Shows samples: text, JSON and pictures, and what recordings and arrays are; 10 samples if -n does not say how many.

    \b
    asyncwds show 'train-{000..099}.tar' -n 3
    asyncwds show s3://bucket/train-000000.tar --where 'cls == 3' --field json
    """
    from asyncwds.cli.tool_arguments import inputs_of, selection_of  # noqa: PLC0415 - heavy
    from asyncwds.tools.report import Report  # noqa: PLC0415 - as above
    from asyncwds.tools.show import show_samples  # noqa: PLC0415 - as above
    from asyncwds.tools.showing.terminal import choose_style  # noqa: PLC0415 - as above

    inputs, report = replace(inputs_of(urls, "show", options), watch=None), Report()  # a bar would stand between the lines
    style = choose_style(sys.stdout, "none" if as_json else graphics, lines=None if only else 20)
    with closing(show_samples(inputs, selection_of(options), only=only, report=report)) as samples:
        for number, sample in enumerate(samples):
            if number == _SHOWN and options["limit"] is None:
                click.echo(f"asyncwds: there are more samples than {_SHOWN}: -n says how many are shown", err=True)
                break
            text = json.dumps(sample.as_dict()) if as_json else "\n".join([*sample.lines(style), ""])
            click.echo(text, color=True)
    for error in report.damaged:
        click.echo(printable(f"asyncwds: damaged: {error}"), err=True)
    return report.status
