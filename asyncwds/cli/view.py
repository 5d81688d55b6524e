"""`asyncwds view`: a page to look at shards."""

from __future__ import annotations

from typing import Any

import click

from asyncwds.cli.options import LOCATION, reading_options


@click.command("view")
@click.argument("urls", nargs=-1, required=True, type=LOCATION)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of 127.0.0.1; a free one unless it is given.")
@click.option("--token", metavar="TEXT", help="In place of a new one: links stay the same from one time to the next.")
@click.option("--index", type=LOCATION, metavar="URL", help="The index of the shards, where it is not beside them.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@reading_options
def view_shards(
    urls: tuple[str, ...], *, port: int, token: str | None, index: str | None, no_browser: bool, **options: Any
) -> None:
    """Serves a page to look at shards, to this machine only, until Ctrl-C.

    \b
    asyncwds view 'train-{000000..000099}.tar'
    asyncwds view s3://bucket/train/ --no-browser --port 8080

    URLS are as for `ls`. Samples are read when they are looked at, by the index beside each shard; without one the headers are
    fetched, and the samples that are known can be looked at meanwhile.
    """
    from asyncwds.cli.reading import sources  # noqa: PLC0415 - heavy
    from asyncwds.errors import FetchError  # noqa: PLC0415 - as above
    from asyncwds.viewer.server import view  # noqa: PLC0415 - as above

    where = sources(urls, **options)
    try:
        view(
            urls,
            index=index,
            port=port,
            token=token,
            browser=not no_browser,
            told=lambda address: click.echo(f"{address}  (Ctrl-C ends it)"),
            http=where.access.http,
            storage=where.access.storage or None,
            cache=where.cache,
        )
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(f"port {port} cannot be used: {error.strerror or error}") from error
