"""A table in Parquet, for questions in SQL and data frames: a row for each sample.

    shard   key   ordinal   offset   size   jpg.offset   jpg.size   cls.offset   cls.size   …

`offset` and `size` [bytes] are those of the sample in the archive, headers and padding included; those of a field are of its
payload, and null where a sample lacks it. Sizes and ETags of shards stand in the metadata of the file, under "asyncwds"; without,
the table is read all the same.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.index.columns import Field, Row
from asyncwds.index.formats.members import checked_columns
from asyncwds.index.index import Index, ShardIndex
from asyncwds.runtime.extras import require_extra
from asyncwds.shards.manifests import relative_to, resolve_beside

SUFFIX = ".parquet"
MAGIC = b"PAR1"
_METADATA = b"asyncwds"
_OFFSET, _SIZE = ".offset", ".size"


def encode(index: Index, url: str) -> bytes:
    """The file that will be at `url`. Raises SpecError for names that are not UTF-8, and without pyarrow."""
    arrow, parquet = require_extra("pyarrow", "arrow"), require_extra("pyarrow.parquet", "arrow")
    shards = [(relative_to(shard.url, url), shard) for shard in index.shards]
    known = [{"url": name, "size": shard.size, "identity": shard.identity} for name, shard in shards]
    file = io.BytesIO()
    try:
        tables = [_table(arrow, name, shard) for name, shard in shards]
        table = arrow.concat_tables(tables, promote_options="default")
        table = table.replace_schema_metadata({_METADATA: json.dumps({"shards": known})})
        parquet.write_table(table, file, compression="zstd")
    except UnicodeEncodeError as error:
        raise SpecError(f"Parquet takes no names that are not UTF-8: {error.object[:200]!r}", url=url) from error
    return file.getvalue()


def _table(arrow: Any, name: str, shard: ShardIndex) -> Any:
    rows = list(shard.rows())
    found = [{field.suffix: field for field in row.fields} for row in rows]
    text, number = arrow.string(), arrow.int64()
    columns = {
        "shard": arrow.array([name] * len(rows), text),
        "key": arrow.array([row.key for row in rows], text),
        "ordinal": arrow.array([row.ordinal for row in rows], number),
        "offset": arrow.array([row.offset for row in rows], number),
        "size": arrow.array([row.end - row.offset for row in rows], number),
    }
    for suffix in dict.fromkeys(suffix for fields in found for suffix in fields):
        fields = [each.get(suffix) for each in found]
        columns[suffix + _OFFSET] = arrow.array([field and field.offset for field in fields], number)
        columns[suffix + _SIZE] = arrow.array([field and field.size for field in fields], number)
    return arrow.table(columns)


def decode(data: bytes, url: str) -> Index:
    """Raises SpecError for a table that is no index, and without pyarrow."""
    arrow, parquet = require_extra("pyarrow", "arrow"), require_extra("pyarrow.parquet", "arrow")
    try:
        table = parquet.read_table(io.BytesIO(data))
        known = json.loads((table.schema.metadata or {}).get(_METADATA, b"{}")).get("shards", [])
        shards = {shard["url"]: (shard["size"], shard["identity"]) for shard in known}
        found = {name: list(rows) for name, rows in groupby(_rows(table), key=itemgetter(0))}
    except (arrow.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise SpecError(f"this table is no index of samples, or damaged: {error}", url=url) from error
    return Index(tuple([_shard(name, found.get(name, []), url, *shards.get(name, (None, None))) for name in {**shards, **found}]))


def _shard(name: str, rows: list[tuple[str, Row]], url: str, size: int | None, identity: str | None) -> ShardIndex:
    columns = checked_columns([row for _, row in rows], url)
    return ShardIndex.of(resolve_beside(name, url), columns, size, identity)


def _rows(table: Any) -> Iterator[tuple[str, Row]]:
    """Each with the name of its shard."""
    suffixes = [name.removesuffix(_SIZE) for name in table.column_names if name.endswith(_SIZE)]
    columns = [
        (suffix, table.column(suffix + _OFFSET).to_pylist(), table.column(suffix + _SIZE).to_pylist()) for suffix in suffixes
    ]
    names = ("shard", "key", "ordinal", "offset", "size")
    for number, (shard, key, ordinal, offset, size) in enumerate(
        zip(*[table.column(name).to_pylist() for name in names], strict=True)
    ):
        fields = [Field(suffix, offsets[number], sizes[number]) for suffix, offsets, sizes in columns if sizes[number] is not None]
        fields.sort(key=itemgetter(1))
        yield shard, Row(key, ordinal, offset, offset + size, tuple(fields))
