"""`asyncwds ls`: what is in shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.lists import FORMS, Totals, count, in_groups, totals_of
from asyncwds.cli.options import LOCATION, reading_options

if TYPE_CHECKING:
    from asyncwds.tools.ls import Listed

_SHOWN_WITH_TOTALS = ("lines", "summary")


@click.command("ls")
@click.argument("urls", nargs=-1, required=True, type=LOCATION)
@click.option("-s", "--summary", "form", flag_value="summary", help="Only the totals.")
@click.option(
    "-l", "--long", "form", flag_value="long", help="Each member: where its bytes begin in the shard, how many, its name."
)
@click.option("--tree", "form", flag_value="tree", help="Shards, their samples, and the fields of these.")
@click.option("--fields", "form", flag_value="fields", help="Each field: how many samples have it, and how large it is.")
@click.option("--keys", "form", flag_value="keys", help="Only the keys, a line each.")
@click.option("-0", "--null", "form", flag_value="null", help="Only the keys, as they are, each with a zero byte behind it.")
@click.option(
    "--shards", "form", flag_value="shards", help="Names in short, 'train-{000..146}.tar', with how many samples and bytes."
)
@click.option("-n", "--limit", type=click.IntRange(min=0), help="End after so many samples.")
@click.option("--json", "as_json", is_flag=True, help="Lines of JSON; with --summary and --fields one with the totals.")
@reading_options
def list_samples(urls: tuple[str, ...], *, form: str | None, limit: int | None, as_json: bool, **options: Any) -> None:
    """Lists the samples of shards: key, fields and their sizes, then the totals for each field.

    \b
    asyncwds ls s3://bucket/train-000000.tar -n 10
    asyncwds ls 'train-{000..146}.tar' --shards --json

    URLS are paths or URLs of shards, with braces, '::' and wildcards ('train-{000..099}.tar'), folders, or manifests. Of what
    can be read in ranges only the headers are fetched, unless it is to be kept in a cache.
    """
    if as_json and form == "null":
        raise click.UsageError("-0 goes without --json")
    if limit is not None and form == "shards":
        raise click.UsageError("-n is a number of samples, and --shards is of whole shards")
    if form == "shards":
        _show_shards(urls, as_json, options)
    else:
        _show_samples(urls, form or "lines", limit, as_json, options)


def _show_shards(urls: tuple[str, ...], as_json: bool, options: dict[str, Any]) -> None:
    from asyncwds.cli.reading import sources  # noqa: PLC0415 - heavy
    from asyncwds.tools.ls import group_shards  # noqa: PLC0415 - as above

    read_from = sources(urls, **options)
    for line in in_groups(group_shards(urls, read_from.access, read_from.cache), as_json):
        click.echo(line)


def _show_samples(urls: tuple[str, ...], form: str, limit: int | None, as_json: bool, options: dict[str, Any]) -> None:
    from asyncwds.cli.listing import list_samples  # noqa: PLC0415 - heavy
    from asyncwds.cli.reading import progress, sources  # noqa: PLC0415 - as above

    samples, stats = list_samples(urls, sources(urls, **options), limit=limit, with_offsets=form == "long")
    totals: Totals = {}
    counted = {"samples": 0, "shards": 0}
    with closing(progress(samples, stats, label="ls")) as shown:  # type: ignore[type-var]
        _show(_counted(shown, totals, counted), form, as_json)
    if form not in _SHOWN_WITH_TOTALS or (as_json and form != "summary"):
        return
    shards = stats().shards if limit is None else counted["shards"]
    for line in totals_of(totals, counted["samples"], shards, as_json):
        click.echo(line)


def _show(samples: Iterable[Listed], form: str, as_json: bool) -> None:
    if form in FORMS:
        for line in FORMS[form](samples, as_json):
            click.echo(line)
        return
    for sample in samples:
        if form == "null":
            click.echo(os.fsencode(sample.key) + b"\0", nl=False)


def _counted(samples: Iterable[Listed], totals: Totals, counted: dict[str, int]) -> Iterator[Listed]:
    """The samples, counted as they pass, with the shards that they are of."""
    url = None
    for sample in samples:
        count(sample, totals)
        counted["samples"] += 1
        counted["shards"] += sample.url != url
        url = sample.url
        yield sample
