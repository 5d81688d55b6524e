"""Rows → files: JSON lines, CSV, TSV, Parquet, Arrow. Where columns are to be known first, rows wait in a temporary file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from asyncwds.errors import SampleError
from asyncwds.runtime.extras import require_extra
from asyncwds.tools.exporting.fields import KEY, Row

ROWS_AT_ONCE = 1024
Write = Callable[[bytes], object]


def write_jsonl(rows: Iterable[Row], write: Write) -> None:
    for row in rows:
        write(_as_line(row))


def write_csv(rows: Iterable[Row], write: Write) -> None:
    _separated(rows, write, ",")


def write_tsv(rows: Iterable[Row], write: Write) -> None:
    _separated(rows, write, "\t")


def write_parquet(rows: Iterable[Row], write: Write) -> None:
    parquet = require_extra("pyarrow.parquet", "arrow")
    _with_schema(rows, write, parquet.ParquetWriter)


def write_arrow(rows: Iterable[Row], write: Write) -> None:
    """A file of Arrow's, which is Feather too."""
    arrow = require_extra("pyarrow", "arrow")
    _with_schema(rows, write, arrow.ipc.new_file)


FORMATS: dict[str, Callable[[Iterable[Row], Write], None]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "tsv": write_tsv,
    "parquet": write_parquet,
    "arrow": write_arrow,
}


def _as_line(row: Row) -> bytes:
    # What UTF-8 has not, as in names of files of other encodings, stays as it is.
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # JSON has halves of characters, as escapes alone
        return (json.dumps(row) + "\n").encode()


def _separated(rows: Iterable[Row], write: Write, delimiter: str) -> None:
    with TemporaryFile() as waiting:
        columns: dict[str, None] = {}
        for row in rows:
            columns |= dict.fromkeys(row)
            waiting.write(_as_line(row))
        waiting.seek(0)
        table = csv.writer(_Text(write), delimiter=delimiter, lineterminator="\n")
        table.writerow(columns or [KEY])
        for line in waiting:
            row = json.loads(line.decode("utf-8", "surrogateescape"))
            try:
                table.writerow([_cell(row.get(column)) for column in columns])
            except UnicodeEncodeError as error:
                raise SampleError(f"a text has half a character, which only JSON lines can have: {error}", key=row[KEY]) from error


class _Text:
    """A file for text, whose bytes go to a function."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, text: str) -> int:
        self._write(text.encode("utf-8", "surrogateescape"))
        return len(text)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _with_schema(rows: Iterable[Row], write: Write, open_writer: Callable[[Any, Any], Any]) -> None:
    """Batches wait in a folder until the types of all are known."""
    arrow = require_extra("pyarrow", "arrow")
    with TemporaryDirectory(prefix="asyncwds-") as folder:
        schemas, paths = [], []
        for number, batch in enumerate(_batches(rows)):
            table = _as_table(arrow, batch)
            paths.append(Path(folder, str(number)))
            schemas.append(table.schema)
            with arrow.OSFile(str(paths[-1]), "wb") as file, arrow.ipc.new_file(file, table.schema) as spool:
                spool.write_table(table)
        schema = _unified(arrow, schemas)
        with _sink(arrow, write) as sink, _opened(arrow, open_writer, sink, schema) as writer:
            for path in paths:
                writer.write_table(_as_schema(arrow, arrow.ipc.open_file(arrow.OSFile(str(path))).read_all(), schema))
                path.unlink()


def _opened(arrow: Any, open_writer: Callable[[Any, Any], Any], sink: Any, schema: Any) -> Any:
    try:
        return open_writer(sink, schema)
    except arrow.ArrowNotImplementedError as error:  # objects that are empty in all samples
        raise SampleError(f"the format has no place for the values of a column: {error}") from error


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while batch := list(islice(source, ROWS_AT_ONCE)):
        yield batch


def _as_table(arrow: Any, rows: list[Row]) -> Any:
    columns = dict.fromkeys(name for row in rows for name in row)
    try:
        return arrow.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])
    except (arrow.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise SampleError(
            f"the values of a column are of several types, or of none of Arrow's: {error}", key=rows[0][KEY]
        ) from error


def _unified(arrow: Any, schemas: list[Any]) -> Any:
    try:
        return arrow.unify_schemas(schemas, promote_options="permissive") if schemas else arrow.schema([(KEY, arrow.string())])
    except arrow.ArrowException as error:
        raise SampleError(f"the values of a column are of several types: {error}") from error


def _as_schema(arrow: Any, table: Any, schema: Any) -> Any:
    missing = [field for field in schema if field.name not in table.column_names]
    for field in missing:
        table = table.append_column(field, arrow.nulls(len(table), field.type))
    return table.select(schema.names).cast(schema)


def _sink(arrow: Any, write: Write) -> Any:
    return arrow.PythonFile(_Binary(write), mode="w")


class _Binary:
    """A file that is only written to, for Arrow."""

    closed = False

    def __init__(self, write: Write) -> None:
        self._write = write
        self._at = 0

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._write(piece)
        self._at += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
