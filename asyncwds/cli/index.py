"""`asyncwds index`: makes indexes of shards, and makes others of them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from asyncwds.cli.json_log import current_log, tell
from asyncwds.cli.options import LOCATION, reading_options
from asyncwds.cli.tool_options import jobs_option
from asyncwds.errors import redact
from asyncwds.formatting.texts import plural, printable, size

if TYPE_CHECKING:
    from asyncwds.index.formats.digests import ShardDigests
    from asyncwds.index.index import Index
    from asyncwds.settings.access import Access

FORMATS = ["asyncwds", "wids", "wds2idx", "energon", "webshart", "hfutils", "sizes", "len", "manifest", "parquet"]


@click.command("index")
@click.argument("urls", nargs=-1, required=True, type=LOCATION)
@click.option(
    "-o",
    "--output",
    type=LOCATION,
    metavar="URL",
    help="The file to write, or with a slash at the end the folder of those for each shard.",
)
@click.option(
    "-f",
    "--format",
    "forms",
    metavar="NAMES",
    default="asyncwds",
    callback=lambda _, __, value: _known(value.split(",")),
    help=f"Another library's in place of ours, or several with commas between: {', '.join(FORMATS)}.",
)
@jobs_option
@click.option("--convert", is_flag=True, help="URLS are those of indexes, of any of the formats, and not of shards.")
@click.option("--hash", "hashed", is_flag=True, help="Read the shards whole for their digests, which wids and hfutils have.")
@click.option("--media", is_flag=True, help="Open the images for their width and height, which webshart has.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would be written. Digests are not made.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON: samples, shards, and the files.")
@reading_options
def make_index(  # noqa: PLR0917 - click gives them by name
    urls: tuple[str, ...],
    output: str | None,
    forms: list[Any],
    jobs: int,
    convert: bool,
    hashed: bool,
    media: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Makes the index of shards: which samples they have, and where.

    \b
    asyncwds index 'train-{000..099}.tar'
    asyncwds index 's3://bucket/train/*.tar' -f wds2idx,wids --jobs 8 -o indexes/
    asyncwds index 'train-{000..099}.tar' -f manifest,sizes,parquet
    asyncwds index 'train-{000..099}.tar' -f hfutils --hash

    URLS are as for `ls`. Of what can be read in ranges only the headers are fetched. Without -o the index of each shard is written
    beside it, or with --cache into the cache; what a format has once for a data set, into the folder of the shards.
    """
    from asyncwds.cli.reading import sources  # noqa: PLC0415 - heavy
    from asyncwds.index.exporting import WITH_DIGESTS, WITH_MEDIA  # noqa: PLC0415 - heavy
    from asyncwds.index.files import load_by, write_index  # noqa: PLC0415 - as above

    if hashed and not {*forms} & {*WITH_DIGESTS}:
        raise click.UsageError(f"--hash is for the formats {' and '.join(WITH_DIGESTS)}")
    if media and not {*forms} & {*WITH_MEDIA}:
        raise click.UsageError(f"--media is for the format {' and '.join(WITH_MEDIA)}")
    where = sources(urls, **options)
    if output is None and where.cache is not None and forms == ["asyncwds"]:
        from asyncwds.index.finding import cache_folder  # noqa: PLC0415 - heavy

        output = cache_folder(where.cache)
    if output is not None and os.path.isdir(output) and not output.endswith("/"):  # noqa: PTH112 - it may be a URL
        output += "/"
    if "-" in urls and output is None:
        raise click.UsageError("beside standard input there is no place for an index: -o")
    if len(forms) > 1 and output is not None and not output.endswith("/"):
        raise click.UsageError("several formats need a folder after -o, with a slash at its end")
    index = load_by(urls, where.access) if convert else _index_with_progress(urls, where.access, jobs)
    digests = _digests_with_progress(index, where.access) if hashed and not dry_run else None
    images = _images_with_progress(index, where.access) if media and not dry_run else None
    known: dict[str, Any] = {"digests": digests, "images": images, "dry_run": dry_run}
    files = [file for form in forms for file in write_index(index, output, form, where.access, **known)]
    _tell_files(index, files, dry_run=dry_run, as_json=as_json)


def _tell_files(index: Index, files: list[str], *, dry_run: bool, as_json: bool) -> None:
    if (log := current_log()) is not None or as_json:
        found = {"samples": len(index), "shards": len(index.shards), "files": [redact(url) for url in files]}
        click.echo(json.dumps(found)) if log is None else log.write("summary", **found)
        return
    click.echo(f"{plural(len(index), 'sample')} in {plural(len(index.shards), 'shard')}")
    for url in files if dry_run or len(files) == 1 else []:
        click.echo(("would be written: " if dry_run else "") + printable(redact(url)))
    if len(files) > 1 and not dry_run:
        click.echo(plural(len(files), "file"))


def _known(names: list[str]) -> list[str]:
    if unknown := sorted({*names} - {*FORMATS}):
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(FORMATS)}.")
    return names


def _index_with_progress(urls: tuple[str, ...], access: Access, jobs: int) -> Index:
    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.index.making import index_in_processes, index_shards  # noqa: PLC0415 - as above
    from asyncwds.runtime.counters import Counters  # noqa: PLC0415 - as above
    from asyncwds.storage.listing import expand_and_list  # noqa: PLC0415 - as above

    found = expand_and_list(urls, access)
    counters = Counters()
    with show_progress("index", "shards", len(found)) as display:

        def show(_: object) -> None:
            display.note(f"{size(counters.bytes)} fetched")
            display.advance()

        return index_in_processes(found, access, jobs, show) if jobs > 1 else index_shards(found, access, counters, show)


def _digests_with_progress(index: Index, access: Access) -> dict[str, ShardDigests]:
    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.index.making import digest_shards  # noqa: PLC0415 - as above

    with show_progress("hash", "shards", len(index.shards)) as display:
        return digest_shards(index, access, lambda _: display.advance())


def _images_with_progress(index: Index, access: Access) -> dict[str, dict[int, tuple[int, int]]]:
    from asyncwds.cli.bars import show_progress  # noqa: PLC0415 - used here only
    from asyncwds.tools.media import measure_images  # noqa: PLC0415 - as above

    with show_progress("media", "shards", len(index.shards)) as display:
        media = measure_images([shard.url for shard in index.shards], access, display.advance)
    if media.unknown:
        tell(f"asyncwds: {plural(media.unknown, 'image')} could not be opened, and have no width and height")
    return media.sizes
