"""What the options of tools mean, and how their reports are shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from asyncwds.cli.bars import warnings_in
from asyncwds.cli.reading import sources
from asyncwds.formatting.escaping import printable
from asyncwds.tar.raw_runs import number_of
from asyncwds.tools.inputs import Inputs, Item, part_of
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection

_READING = ("headers", "anonymous", "endpoint", "profile", "cache")


def inputs_of(urls: tuple[str, ...], label: str, options: dict[str, Any]) -> Inputs:
    """Raises click.UsageError for options that none of the urls takes."""
    read_from = sources(urls, **{name: options[name] for name in _READING})
    return Inputs(
        urls=urls,
        access=read_from.access,
        cache=read_from.cache,
        mix=options.get("mix") or 1,
        part=None if options["part"] is None else part_of(options["part"]),
        on_error=options["on_error"],
        max_errors=options["max_errors"],
        memory=options["memory"],
        io=options["io"],
        watch=None if no_bar() else partial(_watched, label),
        watch_shards=None if no_bar() else partial(_watched_shards, label),
    )


def selection_of(options: dict[str, Any]) -> Selection:
    named = {"slice": options["slice_"], "rename": pairs_of("--rename", options["renames"], "NEW=OLD")}
    same = ("keys", "exclude_keys", "on", "where", "py", "sample", "seed", "limit", "fields", "drop")
    return Selection(**named, **{name: options[name] for name in same})


def outputs_of(inputs: Inputs, options: dict[str, Any]) -> Outputs:
    target = options["target"]
    if target is None and not options["dry_run"]:
        raise click.UsageError("nothing says where to write: -o")
    same = ("force", "same_key", "post", "delete_after", "resume", "dry_run")
    return Outputs(
        target=target,
        max_count=options.get("max_count"),
        max_size=options.get("max_size"),
        part=None if inputs.part is None else inputs.part[0],
        access=inputs.access,
        **{name: options[name] for name in same},
    )


def show_report(report: Report, options: dict[str, Any]) -> int:
    """On standard output, unless that is the archive. Returns the exit status."""
    text = json.dumps(report.as_dict()) if options["as_json"] else "\n".join(map(printable, report.lines()))
    click.echo(text, err=options.get("target") == "-" or not options["as_json"])
    return report.status


def names_of(text: str | None) -> list[str]:
    """With commas between."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def pairs_of(option: str, pairs: tuple[str, ...], form: str = "NAME=VALUE") -> dict[str, str]:
    """Raises click.UsageError for what is not of the form."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"{option} is {form}, not {pair!r}")
        found[name] = value
    return found


def no_bar() -> bool:
    """Whether a progress bar would not be seen: without importing what makes it, which takes 30 ms."""
    return sys.stderr is None or not sys.stderr.isatty()


def _watched(label: str, items: Iterator[Item], /) -> Iterator[Item]:
    """With a progress bar."""
    from tqdm import tqdm  # noqa: PLC0415 - heavy

    with tqdm(desc=label, unit=" samples", leave=False) as bar, warnings_in(bar):
        for item in items:
            yield item
            bar.update(number_of(item))


def _watched_shards(label: str, reports: Iterator[Any], /) -> Iterator[Any]:
    from tqdm import tqdm  # noqa: PLC0415 - heavy

    with tqdm(reports, desc=label, unit=" shards", leave=False) as bar, warnings_in(bar):
        yield from bar
