"""Rows of tables: CSV, TSV, JSON lines, Parquet, Arrow, and data sets of Hugging Face."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Generator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from asyncwds.errors import SampleError, SpecError
from asyncwds.runtime.extras import require_extra
from asyncwds.tools.opening import as_local_file, open_url, unreadable

Row = dict[str, Any]
Rows = Generator[Row, None, None]
ROWS_AT_ONCE = 1024  # of a Parquet file


def csv_rows(path: str) -> Rows:
    return _separated(path, ",")


def tsv_rows(path: str) -> Rows:
    return _separated(path, "\t")


def _separated(path: str, delimiter: str) -> Rows:
    csv.field_size_limit(sys.maxsize)
    with open_url(path) as file, TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
        try:
            _require_columns(path, reader.fieldnames)
            for row in reader:
                if None in row or None in row.values():
                    raise SampleError(f"line {reader.line_num} has another number of columns than the header", url=path)
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise SampleError(f"line {reader.line_num} cannot be read: {error}", url=path) from error


def _require_columns(path: str, names: Any) -> None:
    if not names:
        raise SpecError("the table has no header, which names its columns", url=path)
    if len(set(names)) < len(names):
        raise SpecError(f"two columns of the table have the same name: {', '.join(names)}", url=path)


def json_rows(path: str) -> Rows:
    with open_url(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _parsed(path, number, line)


def _parsed(path: str, number: int, line: bytes) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"line {number} is no JSON: {error}", url=path) from error
    if not isinstance(row, dict):
        raise SampleError(f"line {number} is no JSON object, but {type(row).__name__}", url=path)
    return row


def text_rows(path: str) -> Rows:
    """A line of text each, without its end."""
    with open_url(path) as file:
        for line in file:
            yield {"txt": line.removesuffix(b"\n").removesuffix(b"\r")}


def parquet_rows(path: str) -> Rows:
    parquet = require_extra("pyarrow.parquet", "arrow")
    with as_local_file(path) as local, _opened(local, parquet.ParquetFile, path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE):
            yield from batch.to_pylist()


def arrow_rows(path: str) -> Rows:
    """Of a file, or a stream, of Arrow's."""
    arrow = require_extra("pyarrow", "arrow")
    with as_local_file(path) as local, _opened(local, arrow.memory_map, path) as file:
        whole = file.read(8).startswith(b"ARROW1")
        file.seek(0)
        with _opened(file, arrow.ipc.open_file if whole else arrow.ipc.open_stream, path) as reader:
            batches = map(reader.get_batch, range(reader.num_record_batches)) if whole else reader
            for batch in batches:
                yield from batch.to_pylist()


def _opened(file: Any, opener: Callable[[Any], Any], url: str) -> Any:
    try:
        return opener(file)
    except (OSError, ValueError) as error:  # pyarrow's errors are of these
        raise unreadable(error, "the table cannot be read", url) from error


def hub_rows(path: str, *, name: str | None = None, split: str = "train") -> Rows:
    """Of a data set of Hugging Face: one on the Hub, or a folder that `save_to_disk` wrote. Images and audio as they are stored."""
    datasets = require_extra("datasets", "datasets")
    try:
        if Path(path).is_dir() and any((Path(path) / file).exists() for file in ("state.json", "dataset_dict.json")):
            loaded = datasets.load_from_disk(path)
            dataset = loaded[split] if hasattr(loaded, "keys") else loaded
        else:
            dataset = datasets.load_dataset(path, name, split=split, streaming=True)
    except (OSError, ValueError, KeyError) as error:
        raise SpecError(f"the data set {path} cannot be read: {error}") from error
    yield from _undecoded(datasets, dataset)


def _undecoded(datasets: Any, dataset: Any) -> Any:
    for column, feature in (dataset.features or {}).items():
        if isinstance(feature, datasets.Image | datasets.Audio):
            dataset = dataset.cast_column(column, type(feature)(decode=False))
    return dataset
