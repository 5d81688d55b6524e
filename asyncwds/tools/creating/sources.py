"""What samples are created from, by kind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncwds.codecs.images import IMAGE_EXTENSIONS
from asyncwds.errors import SampleError, SpecError
from asyncwds.shards.urls import scheme_of
from asyncwds.tools.creating import members, tables
from asyncwds.tools.creating.arranging import group_members
from asyncwds.tools.creating.columns import fields_of, select_columns
from asyncwds.tools.creating.draft import Draft
from asyncwds.tools.creating.members import Member
from asyncwds.tools.creating.naming import Naming
from asyncwds.tools.creating.tar_members import tar_members

MEMBERS: dict[str, Callable[[str], AbstractContextManager[Iterable[Member]]]] = {
    "dir": members.folder_members,
    "images": members.folder_members,
    "zip": members.zip_members,
    "tar": tar_members,
    "recipe": members.recipe_members,
}
ROWS: dict[str, Callable[..., tables.Rows]] = {
    "csv": tables.csv_rows,
    "tsv": tables.tsv_rows,
    "jsonl": tables.json_rows,
    "lines": tables.text_rows,
    "parquet": tables.parquet_rows,
    "arrow": tables.arrow_rows,
    "hf": tables.hub_rows,
}
KINDS = (*MEMBERS, *ROWS)
_SUFFIXES = {
    ".zip": "zip", ".tar": "tar", ".tgz": "tar", ".tar.gz": "tar", ".tar.bz2": "tar", ".tar.xz": "tar", ".tar.zst": "tar",
    ".tar.lz4": "tar",
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """How the samples of a source are made: see `create`, whose arguments these are."""

    key_from: str | None = None
    dots: str = "first"
    group_by: str | None = None
    cls_from: str | None = None
    broadcast: Sequence[str] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[str] = ()
    name: str | None = None
    split: str = "train"


def guess_kind(source: str) -> str:
    """By the end of a name, before the query of a url. Raises SpecError where that says nothing."""
    if Path(source).is_dir():
        return "dir"
    name = source.partition("?")[0] if scheme_of(source) in ("http", "https") else source
    for suffix, kind in _SUFFIXES.items():
        if name.lower().endswith(suffix):
            return kind
    raise SpecError(f"{source} may be anything: say which of {', '.join(KINDS)} it is")


@contextmanager
def open_drafts(kind: str, source: str, reading: Reading, dropped: Counter[str]) -> Iterator[tuple[Iterable[Draft], list[str]]]:
    """The samples of a source, and the names of their classes. Raises SpecError for arguments that its kind has no use for."""
    if kind in MEMBERS:
        _refuse(kind, fields=reading.fields, columns=reading.columns, name=reading.name)
        naming = Naming(reading.key_from or "path", reading.dots)
        with MEMBERS[kind](source) as files:
            yield _grouped(kind, files, naming, reading, dropped)
    elif kind in ROWS:
        _refuse(kind, group_by=reading.group_by, cls_from=reading.cls_from, broadcast=reading.broadcast)
        options = {"name": reading.name, "split": reading.split} if kind == "hf" else {}
        yield _row_drafts(source, ROWS[kind](source, **options), reading), []
    else:
        raise SpecError(f"a source is one of {', '.join(KINDS)}, not {kind!r}")


def _refuse(kind: str, **unused: object) -> None:
    for name, value in unused.items():
        if value:
            raise SpecError(f"{name} has no meaning for {kind}")


def _grouped(
    kind: str, files: Iterable[Member], naming: Naming, reading: Reading, dropped: Counter[str]
) -> tuple[list[Draft], list[str]]:
    options: dict[str, Any] = {"group_by": reading.group_by, "cls_from": reading.cls_from, "broadcast": reading.broadcast}
    if kind == "images":
        options["cls_from"] = reading.cls_from or "parent"
        files = _images(files, dropped)
    return group_members(files, naming, dropped, **options)


def _images(files: Iterable[Member], dropped: Counter[str]) -> Iterator[Member]:
    for file in files:
        if file.path.rpartition(".")[2].lower() in IMAGE_EXTENSIONS:
            yield file
        else:
            dropped["file that is no image"] += 1


def _row_drafts(source: str, rows: Iterable[Mapping[str, Any]], reading: Reading) -> Iterator[Draft]:
    folder = Path(os.path.dirname(source))  # noqa: PTH120 - of a URL too
    for number, row in enumerate(rows):
        origin = f"row {number} of {source}"
        key = _key(reading, row, number, origin)
        try:
            fields = fields_of(select_columns(row, reading.columns), reading.fields, folder)
        except SampleError as error:
            raise SampleError(f"{origin}: {error}", key=key) from error
        yield Draft(key, fields, origin)


def _key(reading: Reading, row: Mapping[str, Any], number: int, origin: str) -> str:
    rule = reading.key_from or "{index:09d}"
    if rule.startswith("col:"):
        value = select_columns(row, [rule[4:]])[rule[4:]]
        if value is None or value == "":
            raise SampleError(f"{origin} has no key")
        key = str(value)
    else:
        try:
            key = rule.format(index=number)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise SpecError(
                f"key_from of rows is col:NAME, or has a place for the number as in {{index:09d}}, not {rule!r}"
            ) from error
    return key.replace(".", "_") if reading.dots == "last" else key
