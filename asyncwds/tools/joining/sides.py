"""What a join adds: samples of other shards, or rows of a table, by key."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asyncwds.errors import SampleError, SpecError
from asyncwds.tar.raw import Piece, RawMember, RawSample
from asyncwds.tools.becoming import duplicate_field
from asyncwds.tools.creating.columns import fields_of, select_columns
from asyncwds.tools.creating.sources import ROWS, guess_kind
from asyncwds.tools.expressions import parse
from asyncwds.tools.inputs import Inputs, read_raw
from asyncwds.tools.making import SampleMaker
from asyncwds.tools.report import Report
from asyncwds.tools.selection import checked_name

Added = dict[str, RawMember] | dict[str, Any]
"""Fields of one key, members of shards or values of a table."""


@dataclass(frozen=True, kw_only=True)
class OtherSide:
    """urls     of shards, or the path of one table
    kind     "shards", "csv", "tsv", "jsonl", "parquet", "arrow", "hf"; None goes by the name
    on       column, or expression of samples, that is the key; None is "key"
    fields   field → column, "@column" for the file that it names; of shards field → field
    columns  only these
    """

    urls: Sequence[str]
    kind: str | None = None
    on: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[str] = ()

    def read(self, inputs: Inputs) -> Generator[tuple[str, Added], None, None]:
        """Keys with what is added for them; shards are read as `inputs` says. Raises as these do."""
        kind = self.kind or _kind_of(self.urls)
        if kind == "shards":
            return self._samples(replace(inputs, urls=self.urls, part=None, mix=1))
        if kind not in ROWS or len(self.urls) != 1:
            raise SpecError(f"the other side of a join is shards, or one table ({', '.join(ROWS)}), not {kind!r}")
        return self._rows(kind, self.urls[0])

    def _samples(self, inputs: Inputs) -> Generator[tuple[str, Added], None, None]:
        on = None if self.on in (None, "key") else parse(self.on)
        with closing(read_raw(inputs, Report())) as samples:
            for sample in samples:
                key = sample.key if on is None else on.value(sample)
                if key is None:
                    raise SampleError(f"there is no {self.on}, which is the key of the join", url=sample.url, key=sample.key)
                yield str(key), self._members(sample)

    def _members(self, sample: RawSample) -> Added:
        members = sample.fields()
        wanted = dict(self.fields) or dict(zip(self.columns or members, self.columns or members, strict=True))
        return {new: _alone(members[old]) for new, old in wanted.items() if old in members}

    def _rows(self, kind: str, path: str) -> Generator[tuple[str, Added], None, None]:
        column = self.on or "key"
        folder = Path(os.path.dirname(path))  # noqa: PTH120 - of a URL too
        with closing(ROWS[kind](path)) as rows:
            for number, row in enumerate(rows):
                key = select_columns(row, [column])[column]
                if key is None:
                    raise SampleError(f"row {number} has no {column}, which is the key of the join", url=path)
                others = {name: value for name, value in row.items() if name != column}
                yield str(key), fields_of(select_columns(others, self.columns), self.fields, folder)


def _kind_of(urls: Sequence[str]) -> str:
    if len(urls) != 1:
        return "shards"
    try:
        kind = guess_kind(urls[0])
    except SpecError:
        return "shards"
    return kind if kind in ROWS else "shards"


def _alone(member: RawMember) -> RawMember:
    """Without the rest of what was read together with it."""
    data = b"".join([piece.read() for piece in member.pieces])
    return member._replace(pieces=(Piece(data, 0, len(data)),))


def size_of(added: Added) -> int:
    """About how much memory it takes [bytes]."""
    return 200 + sum(400 + (value.nbytes if isinstance(value, RawMember) else len(str(value))) for value in added.values())


def add_fields(make: SampleMaker, sample: RawSample, added: Added, conflict: str) -> RawSample:
    """The sample with more fields. Of those that both have, "left" or "right" is taken, and "fail" raises SampleError."""
    fields = sample.fields()
    if len(fields) < len(sample.members):
        name = next(member.name for member in sample.members if fields[member.field] is not member)
        raise duplicate_field(sample, name)
    both = fields.keys() & added.keys()
    if both and conflict == "fail":
        message = f"both sides of the join have the field {min(both)!r}"
        raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
    new = {name: value for name, value in added.items() if conflict == "right" or name not in both}
    values = {name: value() if callable(value) else value for name, value in new.items() if not isinstance(value, RawMember)}
    members = {name: _renamed(sample, name, value) for name, value in new.items() if isinstance(value, RawMember)}
    if values:
        members |= make({"__key__": sample.key, **values}, sample.url, sample.ordinal).fields()
    return sample._replace(members=tuple((fields | members).values()))


def _renamed(sample: RawSample, field_name: str, member: RawMember) -> RawMember:
    name = checked_name(sample, sample.key, field_name)
    return member if member.name == name else member.renamed(name, field_name)
