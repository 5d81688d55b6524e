"""What NVIDIA's Megatron-Energon has: an index for each shard, and a database of all samples of a folder.

FOLDER/train-0.tar.idx       offsets [bytes] of the samples, and of what comes behind the last: 64 bits each, little-endian
FOLDER/.nv-meta/index.sqlite     the samples and their parts, see `_TABLES`
FOLDER/.nv-meta/.info.json       the shards, in the order of their ids in the database, and how many samples each has
FOLDER/.nv-meta/index.uuid       another one when the index is another one
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from itertools import groupby, pairwise
from sys import byteorder
from uuid import UUID

from asyncwds.errors import SpecError
from asyncwds.index.columns import Field, Row
from asyncwds.index.formats.members import checked_columns, renamed
from asyncwds.index.index import Index, ShardIndex

SUFFIX = ".tar.idx"
FOLDER = ".nv-meta"
DATABASE, INFO, IDENTITY = "index.sqlite", ".info.json", "index.uuid"

_TABLES = """
create table samples (
    tar_file_id integer not null, sample_key text not null unique, sample_index integer not null,
    byte_offset integer, byte_size integer
);
create table sample_parts (
    tar_file_id integer, sample_index integer, part_name text, content_byte_offset integer, content_byte_size integer
);
"""
_INDEXES = """
create index idx_samples_by_tar_and_idx on samples(tar_file_id, sample_index);
create index idx_sample_parts_seq on sample_parts(tar_file_id, sample_index, content_byte_offset);
create index idx_sample_parts_full on sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""
_ROWS = """
select s.tar_file_id, s.sample_key, s.sample_index, s.byte_offset, s.byte_size,
    p.part_name, p.content_byte_offset, p.content_byte_size
from samples s left join sample_parts p on p.tar_file_id = s.tar_file_id and p.sample_index = s.sample_index
order by s.tar_file_id, s.sample_index, p.content_byte_offset
"""


def is_database(data: bytes) -> bool:
    return data.startswith(b"SQLite format 3\0")


def decode_offsets(data: bytes, url: str) -> Index:
    """The index of one shard. It knows no keys. Raises SpecError for what is none."""
    if len(data) < 8 or len(data) % 8:
        raise SpecError(f"an index of Energon has 8 bytes for each sample and 8 more, not {len(data)}", url=url)
    offsets = array("Q", data)
    if byteorder == "big":
        offsets.byteswap()
    rows = [Row("", ordinal, *span, ()) for ordinal, span in enumerate(pairwise(offsets))]
    return Index((ShardIndex.of(renamed(url, (SUFFIX,), ".tar"), checked_columns(rows, url)),))


def encode_offsets(shard: ShardIndex) -> bytes:
    columns = shard.columns
    offsets = array("Q", [*columns.offsets.tolist(), int(columns.ends[-1]) if len(columns) else 0])
    if byteorder == "big":
        offsets.byteswap()
    return offsets.tobytes()


def decode_database(data: bytes, info: bytes, url: str) -> Index:
    """The database of a folder, with its `.info.json`, which tells the shards. Raises SpecError for what is none."""
    folder = url.removesuffix(f"{FOLDER}/{DATABASE}")
    try:
        names = list(json.loads(info)["shard_counts"])
        with closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(data)
            found = {shard: list(rows) for shard, rows in groupby(database.execute(_ROWS), key=lambda row: int(row[0]))}
        return Index(
            tuple(
                [
                    ShardIndex.of(folder + name, checked_columns(_rows(found.get(number, [])), folder + name))
                    for number, name in enumerate(names)
                ]
            )
        )
    except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, SpecError) else SpecError(f"the database is damaged: {error}", url=url) from error


def _rows(found: list[tuple[int, str, int, int, int, str | None, int, int]]) -> Iterator[Row]:
    for (_, key, ordinal, offset, size, *_), parts in groupby(found, key=lambda row: row[:5]):
        fields = [Field(part[5], part[6], part[7]) for part in parts if part[5] is not None]
        yield Row(key, ordinal, offset, offset + size, tuple(fields))


def encode_database(index: Index, names: list[str]) -> dict[str, bytes]:
    """The files of `.nv-meta`, by name. `names` are the paths of the shards in the folder.

    Raises SpecError for a key that comes twice in the data set: Energon has none such.
    """
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        for number, shard in enumerate(index.shards):
            _fill(database, number, shard)
        database.executescript(_INDEXES)
        database.commit()
        data = database.serialize()
    info = {"shard_counts": {name: shard.samples for name, shard in zip(names, index.shards, strict=True)}}
    identity = str(UUID(bytes=sha256(data).digest()[:16], version=4))
    return {DATABASE: data, INFO: json.dumps(info, indent=2).encode(), IDENTITY: identity.encode()}


def _fill(database: sqlite3.Connection, number: int, shard: ShardIndex) -> None:
    rows = list(shard.rows())
    nexts = [row.offset for row in rows[1:]] + [row.end for row in rows[-1:]]
    try:
        for place, (row, following) in enumerate(zip(rows, nexts, strict=True)):
            database.execute(
                "insert into samples values (?, ?, ?, ?, ?)", (number, row.key, place, row.offset, following - row.offset)
            )
            database.executemany(
                "insert into sample_parts values (?, ?, ?, ?, ?)", [(number, place, *field) for field in row.fields]
            )
    except sqlite3.IntegrityError as error:
        raise SpecError("Energon takes no data set in which a key comes twice", url=shard.url, key=row.key) from error
    except UnicodeEncodeError as error:
        raise SpecError("Energon takes no keys that are not UTF-8", url=shard.url, key=row.key) from error
