"""`asyncwds ls`: what is in shards."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.options import reading_options
from asyncwds.formatting.escaping import escape
from asyncwds.formatting.quantities import plural, size

if TYPE_CHECKING:
    from asyncwds.cli.listing import Listed


@click.command("ls")
@click.argument("urls", nargs=-1, required=True)
@click.option("-s", "--summary", is_flag=True, help="Only the totals.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each sample, or with --summary one with the totals.")
@click.option("-0", "--null", "only_keys", is_flag=True, help="Only the keys, as they are, each with a zero byte behind it.")
@reading_options
def list_samples(urls: tuple[str, ...], *, summary: bool, as_json: bool, only_keys: bool, **options: Any) -> None:
    """Lists the samples of shards: key, fields and their sizes, then the totals for each field.

    URLS are paths or URLs of shards, with braces, '::' and wildcards ('train-{000..099}.tar'), folders, or manifests. Of what
    can be read in ranges only the headers are fetched, unless it is to be kept in a cache.
    """
    if only_keys and (summary or as_json):
        raise click.UsageError("-0 goes with neither --summary nor --json")
    from asyncwds.cli.listing import list_samples  # noqa: PLC0415 - heavy
    from asyncwds.cli.reading import progress, sources  # noqa: PLC0415 - as above

    samples, stats = list_samples(urls, sources(urls, **options))
    totals: dict[str, list[int]] = {}
    count = 0
    show = _show_nothing if summary else _show_json if as_json else _show_key if only_keys else _show_line
    for sample in progress(samples, stats, label="ls"):
        count += 1
        for name, nbytes in sample.sizes.items():
            found = totals.setdefault(name, [0, 0])
            found[0] += 1
            found[1] += nbytes
        show(sample)
    if summary and as_json:
        click.echo(_json_totals(count, stats().shards, totals))
    elif not as_json and not only_keys:
        click.echo(f"{plural(count, 'sample')} in {plural(stats().shards, 'shard')}")
        for name, (number, nbytes) in sorted(totals.items()):
            click.echo(f"  {escape(name):<16} {number:>9} x {size(nbytes / number):>9} = {size(nbytes)}")


def _show_nothing(sample: Listed) -> None:
    """For summaries."""


def _show_line(sample: Listed) -> None:
    click.echo("\t".join([escape(sample.key), *[f"{escape(name)}:{nbytes}" for name, nbytes in sample.sizes.items()]]))


def _show_json(sample: Listed) -> None:
    click.echo(json.dumps({"key": sample.key, "url": sample.url, "fields": sample.sizes}))


def _show_key(sample: Listed) -> None:
    click.echo(os.fsencode(sample.key) + b"\0", nl=False)


def _json_totals(samples: int, shards: int, totals: dict[str, list[int]]) -> str:
    fields = {name: {"samples": number, "bytes": nbytes} for name, (number, nbytes) in sorted(totals.items())}
    return json.dumps({"samples": samples, "shards": shards, "fields": fields})
