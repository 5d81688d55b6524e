"""`asyncwds cache`: what a cache keeps, whether it is sound, and filling it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.options import AGE, LOCATION, log_option, reading_options
from asyncwds.formatting.texts import duration, plural, printable, size

if TYPE_CHECKING:
    from asyncwds.settings.reading import Cache
    from asyncwds.tools.cache import CacheEntry

FOLDER = click.argument(
    "folder", type=click.Path(exists=True, file_okay=False), envvar="WDS_CACHE", metavar="[FOLDER]", required=True
)


@click.group("cache")
def cache() -> None:
    """Lists, empties, verifies and fills a cache of shards, also while trainings use it.

    \b
    asyncwds cache ls /data/cache
    asyncwds cache warm 's3://bucket/train-{000..099}.tar' --cache /data/cache

    FOLDER is $WDS_CACHE if it is not given.
    """


@cache.command("ls")
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each shard.")
def list_shards(folder: str, *, as_json: bool) -> None:
    """Lists the shards: size, how long not used, name, URL; then the total. What was not used for longest comes first.

    \b
    asyncwds cache ls /data/cache
    asyncwds cache ls /data/cache --json
    """
    from asyncwds.tools.cache import list_cache  # noqa: PLC0415 - heavy

    _show(list_cache(_cache(folder)), as_json=as_json, total="{} in {}")


@cache.command("clear")
@FOLDER
@click.option("--older-than", "age", type=AGE, default=0.0, metavar="AGE", help="Only what was not used for so long: 12h, 7d.")
@click.option("--url", metavar="PATTERN", help="Only what came from there: 's3://bucket/old/*'.")
@click.option("--dry-run", is_flag=True, help="Remove nothing; list what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each shard that is removed.")
def clear(folder: str, *, age: float, url: str | None, dry_run: bool, as_json: bool) -> None:
    """Removes shards, but for downloads that are in progress. A training that reads one fetches the rest of it from its source.

    \b
    asyncwds cache clear /data/cache --older-than 7d
    asyncwds cache clear /data/cache --url 's3://bucket/old/*' --dry-run
    """
    from asyncwds.tools.cache import clear_cache  # noqa: PLC0415 - heavy

    removed = clear_cache(_cache(folder), unused_for=age, url=url, dry_run=dry_run)
    _show(removed, as_json=as_json, total="{} in {} would be removed" if dry_run else "{} in {} removed")


@cache.command("verify")
@FOLDER
@click.option("--remove", is_flag=True, help="Remove what is bad: it is fetched anew when it is next needed.")
@click.option("--source", is_flag=True, help="Ask the sources, too, whether they still have the same.")
@click.option("--json", "as_json", is_flag=True, help="The result as a line of JSON.")
@log_option
def verify(folder: str, *, remove: bool, source: bool, as_json: bool) -> int:
    """Compares shards with what was written down when they came: size, time, and checksums if the cache has some.

    \b
    asyncwds cache verify /data/cache
    asyncwds cache verify /data/cache --source --remove

    A shard without checksums is read to its end. Ends with 2 if something is bad and was not removed, with 3 if a source could not
    be asked.
    """
    from dataclasses import asdict  # noqa: PLC0415 - used here only

    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.settings.access import Access  # noqa: PLC0415 - as above
    from asyncwds.tools.cache import verify_cache  # noqa: PLC0415 - as above
    from asyncwds.tools.report import DATA, IO, OK  # noqa: PLC0415 - as above

    with show_progress("cache verify", "shards") as display:
        found = verify_cache(_cache(folder), remove=remove, access=Access() if source else None, show=display.advance)
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        for bad in found.bad:
            click.echo(printable(f"{bad.entry.name}  {bad.entry.url or '-'}: {bad.reason}{'; removed' * bad.removed}"))
        for reason in found.unasked:
            click.echo(printable(f"not asked: {reason}"))
        click.echo(f"{plural(found.sound, 'shard')} sound, {found.by_checksum} of them by checksums; {len(found.bad)} bad")
    return IO if found.unasked else DATA if any(not bad.removed for bad in found.bad) else OK


@cache.command("warm")
@click.argument("urls", nargs=-1, required=True, type=LOCATION, metavar="SHARD...")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=8, show_default=True, help="Shards at a time.")
@click.option("--part", metavar="I/N", help="Only every N-th shard from the I-th on, counted from 0: one of N jobs.")
@click.option("--on-error", type=click.Choice(["fail", "skip"]), default="fail", show_default=True, help="Of what cannot be kept.")
@click.option("--json", "as_json", is_flag=True, help="The report as a line of JSON.")
@reading_options
def warm(urls: tuple[str, ...], *, jobs: int, part: str | None, on_error: Any, as_json: bool, **options: Any) -> int:
    """Fetches shards into a cache before they are needed, and leaves those that are there.

    \b
    asyncwds cache warm 's3://bucket/train-{000..099}.tar' --cache /data/cache
    asyncwds cache warm @shards.txt --cache /data/cache --jobs 32 --on-error skip
    """
    from dataclasses import asdict  # noqa: PLC0415 - used here only

    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.cli.json_log import current_log, tell  # noqa: PLC0415 - as above
    from asyncwds.cli.reading import sources  # noqa: PLC0415 - as above
    from asyncwds.tools.inputs import Inputs, part_of  # noqa: PLC0415 - as above
    from asyncwds.tools.report import OK, PARTIAL  # noqa: PLC0415 - as above
    from asyncwds.tools.warm import WarmReport, warm_cache  # noqa: PLC0415 - as above

    where = sources(urls, **options)
    chosen = None if part is None else part_of(part)
    inputs = Inputs(urls=urls, access=where.access, cache=where.cache, part=chosen, on_error=on_error)
    with show_progress("cache warm", "shards") as display:

        def show(so_far: WarmReport) -> None:
            display.note(size(so_far.bytes))
            display.advance()

        report = warm_cache(inputs, jobs=jobs, show=show)
    if (log := current_log()) is not None:
        log.write("summary", **asdict(report))
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        tell(f"{plural(len(report.shards), 'shard')} fetched, {size(report.bytes)}; {len(report.there)} were there")
        for failure in report.failed:
            tell(f"  failed: {failure}")
    return PARTIAL if report.failed else OK


def _cache(folder: str) -> Cache:
    from asyncwds.settings.reading import Cache  # noqa: PLC0415 - used here only

    return Cache(folder)


def _show(entries: list[CacheEntry], *, as_json: bool, total: str) -> None:
    for entry in entries:
        click.echo(json.dumps(entry.as_dict()) if as_json else _line(entry))
    if not as_json:
        click.echo(total.format(size(sum(entry.bytes for entry in entries)), plural(len(entries), "shard")))


def _line(entry: CacheEntry) -> str:
    url = f"{entry.url or '-'}{' (not whole yet)' * entry.part}"
    return f"{size(entry.bytes):>9}  {duration(entry.age):>6}  {printable(entry.name)}  {printable(url)}"
