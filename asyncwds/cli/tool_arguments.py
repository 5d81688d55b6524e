"""What the options of tools mean, and how their reports are shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import click

from asyncwds.cli.bars import is_shown, show_progress
from asyncwds.cli.json_log import JsonLog, ShardsRead, current_log
from asyncwds.cli.reading import sources
from asyncwds.errors import redact
from asyncwds.formatting.texts import printable
from asyncwds.tar.raw_runs import number_of
from asyncwds.tools.inputs import Found, Inputs, Item, Watch, part_of
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection

_READING = ("headers", "anonymous", "endpoint", "profile", "cache")


def inputs_of(urls: tuple[str, ...], label: str, options: dict[str, Any]) -> Inputs:
    """Raises click.UsageError for options that none of the urls takes."""
    read_from = sources(urls, **{name: options[name] for name in _READING})
    log, mix = current_log(), options.get("mix") or 1
    watch: Watch = partial(_watched, label) if log is None else partial(_logged, log, mix > 1)
    return Inputs(
        urls=urls,
        access=read_from.access,
        cache=read_from.cache,
        mix=mix,
        part=None if options["part"] is None else part_of(options["part"]),
        on_error=options["on_error"],
        max_errors=options["max_errors"],
        memory=options["memory"],
        io=options["io"],
        watch=watch if is_shown() else None,
        watch_shards=partial(_watched_shards, label) if is_shown() else None,
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
    log = current_log()
    return Outputs(
        target=target,
        max_count=options.get("max_count"),
        max_size=options.get("max_size"),
        part=None if inputs.part is None else inputs.part[0],
        access=inputs.access,
        written=None if log is None else log.write_shard,
        **{name: options[name] for name in same},
    )


def show_report(report: Report, options: dict[str, Any]) -> int:
    """On standard output, unless that is the archive. Returns the exit status."""
    log, is_archive = current_log(), options.get("target") == "-"
    if log is not None:
        log.write("summary", **report.as_dict())
    if log is None or (options["as_json"] and not is_archive):
        import json  # noqa: PLC0415 - most do without

        text = json.dumps(report.as_dict()) if options["as_json"] else "\n".join(map(printable, report.lines()))
        click.echo(text, err=is_archive or not options["as_json"])
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


def _watched(label: str, items: Iterator[Item], /) -> Iterator[Item]:
    """With a progress bar."""
    with show_progress(label, "samples") as display:
        for item in items:
            yield item
            display.advance(number_of(item))


def _logged(log: JsonLog, mix: bool, items: Iterator[Item], /) -> Iterator[Item]:
    """With events of their shards."""
    shards = ShardsRead(log, mix=mix)
    with show_progress("", "samples") as display:
        for item in items:
            number, nbytes = number_of(item), item.nbytes
            shards.see(item.shard, item.url, number, nbytes)
            yield item
            display.advance(number, nbytes)
        shards.finish()


def _watched_shards(label: str, shards: Iterator[tuple[str, int, Found]], /) -> Iterator[tuple[str, int, Found]]:
    log = current_log()
    with show_progress(label, "shards") as display:
        for url, number, found in shards:
            if log is not None:
                counted = {"samples": found.samples_in} if isinstance(found, Report) else {}
                log.write("shard_finished", url=redact(url), **counted)
            yield url, number, found
            display.advance()
