"""Rows of formats that list members, by name, offset and size of the payload. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from asyncwds.errors import SpecError
from asyncwds.index.columns import Columns, Field, Row, columns_of
from asyncwds.index.index import ShardIndex
from asyncwds.tar.grouping import base_plus_ext, is_meta


class ListedMember(NamedTuple):
    name: str
    offset: int
    size: int


def columns_from(members: Iterable[ListedMember], url: str) -> Columns:
    """The samples that adjacent members are. Where their headers begin is not told: behind the member before.

    `url` is that of what lists them. Raises SpecError where members overlap.
    """
    end, rows = 0, []
    wanted = (member for member in members if base_plus_ext(member.name)[0] is not None and not is_meta(member.name))
    for ordinal, (key, group) in enumerate(groupby(wanted, key=lambda member: base_plus_ext(member.name)[0])):
        assert key is not None
        fields = tuple([Field(member.name[len(key) + 1 :], member.offset, member.size) for member in group])
        rows.append(Row(key, ordinal, end, fields[-1].end, fields))
        end = fields[-1].end
    return checked_columns(rows, url)


def checked_columns(rows: Iterable[Row], url: str) -> Columns:
    try:
        return columns_of(rows)
    except ValueError as error:
        raise SpecError(f"the index makes no sense: {error}", url=url) from error


def members_of(shard: ShardIndex) -> Iterator[tuple[Row, list[ListedMember]]]:
    """The samples of a shard, each with its members. Raises SpecError where keys or fields are not known."""
    for row in shard.rows():
        if not row.key or not row.fields:
            raise SpecError("the index does not know keys and fields, which this format has", url=shard.url)
        yield row, [ListedMember(f"{row.key}.{field.suffix}", field.offset, field.size) for field in row.fields]


def renamed(url: str, old: tuple[str, ...], new: str) -> str:
    """The url with one of the endings replaced; behind it, where it has none of them. A query stays."""
    path, mark, query = url.partition("?") if url.startswith(("http:", "https:")) else (url, "", "")
    for ending in old:
        if path.endswith(ending):
            return path.removesuffix(ending) + new + mark + query
    return path + new + mark + query
