"""`export`: fields of samples as tables, lines of JSON, or files."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.runtime.security import require_local
from asyncwds.storage.local.readiness import translate_os_error
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import select
from asyncwds.tools.exporting.files import write_fields
from asyncwds.tools.exporting.rows import Binary, Row, row_of
from asyncwds.tools.exporting.tables import FORMATS
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.targets import exists, open_target

TableFormat = Literal["jsonl", "csv", "tsv", "parquet", "arrow", "files"]


def export_samples(
    inputs: Inputs,
    target: str,
    selection: Selection | None = None,
    *,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
    flatten: Sequence[str] = (),
    binary: Binary | None = None,
    force: bool = False,
) -> Report:
    """Writes fields of samples: a row for each, with its key; or with "files" a file for each field.

    target    path or URL, `-` for standard output; of "files" a local folder
    format    "jsonl", "csv", "tsv", "parquet", "arrow", "files"; None goes by the end of the target
    flatten   fields of JSON objects that become a column for each of their values
    binary    fields that are neither text nor JSON: "base64", "bytes" (Parquet and Arrow alone, and what they have), "skip"
    force     replace what is there

    A table is there whole, or not at all. Raises SpecError, FetchError, TarError, and SampleError for what the format cannot hold.
    """
    form = format or _guess_format(target)
    checks.one_of("format", form, (*FORMATS, "files"))
    report = Report()
    with closing(select(inputs, selection or Selection(), report)) as samples:
        if form == "files":
            _write_files(samples, target, force, report)
        else:
            rows = _rows(samples, _binary(form, binary), flatten, report)
            _write_table(form, rows, target, inputs, force)
    return report.check()


def _guess_format(target: str) -> str:
    suffix = {".ndjson": "jsonl", ".feather": "arrow"}.get(Path(target).suffix, Path(target).suffix[1:])
    if suffix not in FORMATS:
        raise SpecError(f"the name {target} does not say which of {', '.join(FORMATS)} or files is to be written")
    return suffix


def _binary(form: str, binary: Binary | None) -> Binary:
    has_bytes = form in ("parquet", "arrow")
    if binary == "bytes" and not has_bytes:
        raise SpecError(f"{form} has no room for bytes: base64, or skip")
    return binary or ("bytes" if has_bytes else "base64")


def _rows(samples: Iterable[RawSample], binary: Binary, flatten: Sequence[str], report: Report) -> Generator[Row, None, None]:
    for sample in samples:
        yield row_of(sample, binary, flatten)
        report.samples_out += 1


def _write_table(form: str, rows: Iterable[Row], target: str, inputs: Inputs, force: bool) -> None:
    if not force and exists(target, inputs.access):
        raise SpecError("there is such a file already; --force (force=True) replaces it", url=target)
    output = open_target(target, inputs.access)
    try:
        FORMATS[form](rows, output.write)
        output.commit()
    except BaseException:
        output.abort()
        raise


def _write_files(samples: Iterable[RawSample], target: str, force: bool, report: Report) -> None:
    require_local("files are not written", target)
    folder = Path(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise translate_os_error(error, target) from error
    for sample in samples:
        write_fields(sample, folder, force)
        report.samples_out += 1
