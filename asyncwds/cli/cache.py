"""`asyncwds cache`: what a cache keeps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from asyncwds.formatting.escaping import printable
from asyncwds.formatting.quantities import plural, size

if TYPE_CHECKING:
    from asyncwds.storage.cache.folder import CacheFolder


@click.command("cache")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--clear", is_flag=True, help="Remove them all, but for downloads that are in progress.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each shard.")
def list_cache(folder: str, *, clear: bool, as_json: bool) -> None:
    """Lists what a cache keeps, or empties it.

    \b
    asyncwds cache /data/cache
    asyncwds cache /data/cache --clear

    The shard that was not used for longest comes first: size, last use, name, URL; then the total.
    """
    from asyncwds.settings.cache import Cache  # noqa: PLC0415 - used here only
    from asyncwds.storage.cache.folder import CacheFolder  # noqa: PLC0415 - used here only

    cache = CacheFolder(Cache(folder))
    if clear:
        removed = cache.clear()
        click.echo(json.dumps({"removed": removed}) if as_json else f"removed {size(removed)}")
        return
    shards = [_describe(cache, entry) for entry in cache.entries()]
    for shard in shards:
        click.echo(json.dumps(shard) if as_json else _line(shard))
    if not as_json:
        click.echo(f"{size(sum(shard['bytes'] for shard in shards))} in {plural(len(shards), 'shard')}")


def _describe(cache: CacheFolder, entry: Any) -> dict[str, Any]:
    whole = None if entry.part else cache.find(entry.name)
    return {
        "name": entry.name,
        "bytes": entry.size,
        "used": entry.used / 1e9,
        "url": None if whole is None else whole.record.url,
        "part": entry.part,
    }


def _line(shard: dict[str, Any]) -> str:
    from datetime import datetime  # noqa: PLC0415 - used here only

    said = shard["url"] or ("not whole yet" if shard["part"] else "changed since: will be fetched anew")
    used = datetime.fromtimestamp(shard["used"]).astimezone().isoformat(" ", "seconds")
    return f"{size(shard['bytes']):>9}  {used}  {printable(shard['name'])}  {printable(said)}"
