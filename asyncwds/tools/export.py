"""`export`: fields of samples as tables, lines of JSON, or files."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.runtime.security import require_local
from asyncwds.storage.local.readiness import translate_os_error
from asyncwds.tar.raw import RawSample
from asyncwds.tools.becoming import with_sole_fields
from asyncwds.tools.by_shard import run_by_shard
from asyncwds.tools.copying import DAMAGED, select
from asyncwds.tools.exporting.fields import KEY, Binary, Row, row_of, write_fields
from asyncwds.tools.exporting.tables import FORMATS
from asyncwds.tools.inputs import ErrorPolicy, Inputs
from asyncwds.tools.outputs import Outputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.targets import Target, exists, open_target


def export_samples(
    inputs: Inputs,
    target: str,
    selection: Selection | None = None,
    *,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
    flatten: Sequence[str] = (),
    binary: Binary | None = None,
    force: bool = False,
    jobs: int = 1,
    dry_run: bool = False,
) -> Report:
    """Writes fields of samples: a row for each, with its key; or with "files" a file for each field.

    target    path or URL, `-` for standard output; of "files" a local folder; or a pattern with {name} or {shard}, which gives each
              shard an output of its own, see `asyncwds.tools.by_shard`
    format    "jsonl", "csv", "tsv", "parquet", "arrow", "files"; None goes by the end of the target
    flatten   fields of JSON objects that become a column for each of their values
    binary    fields that are neither text nor JSON: "base64", "bytes" (Parquet and Arrow alone, and what they have), "skip"
    force     replace what is there
    jobs      so many processes work on a shard each, of a pattern
    dry_run   write nothing, and report what would be written

    A table is there whole, or not at all. Raises SpecError, FetchError, TarError, and SampleError for what the format cannot hold.
    """
    form = format or _guess_format(target)
    checks.one_of("format", form, (*FORMATS, "files"))
    if "{name" in target or "{shard" in target:
        tool = partial(_export_one, format=form, flatten=flatten, binary=binary, force=force, dry_run=dry_run)
        outputs = Outputs(target=target, dry_run=dry_run, part=None if inputs.part is None else inputs.part[0])
        return run_by_shard(tool, inputs, outputs, selection or Selection(), jobs=jobs, run=["export"])
    checks.require(jobs == 1, "jobs work on one shard each, and here there is one output: give a pattern with {name}")
    report = Report()
    with (
        closing(select(inputs, selection or Selection(), report)) as selected,
        closing(with_sole_fields(selected, inputs, report, taken=() if form == "files" else (KEY,))) as samples,
    ):
        if form == "files" and dry_run:
            report.samples_out = sum(1 for _ in samples)
        elif form == "files":
            _write_files(samples, target, force, report)
        else:
            rows = _rows(samples, _binary(form, binary), flatten, inputs, report)
            _write_table(form, rows, target, inputs, force=force, dry_run=dry_run)
    return report.check()


def _export_one(*, inputs: Inputs, outputs: Outputs, selection: Selection, jobs: int, **how: Any) -> Report:
    del jobs
    assert outputs.target is not None
    assert outputs.of is not None
    name = Target(outputs.target).name(outputs.of.number, part=outputs.part, name=outputs.of.name)
    return export_samples(inputs, name, selection, **how)


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


def _rows(
    samples: Iterable[RawSample], binary: Binary, flatten: Sequence[str], inputs: Inputs, report: Report
) -> Generator[Row, None, None]:
    errors = ErrorPolicy(inputs, report)
    for sample in samples:
        try:
            row = row_of(sample, binary, flatten)
        except SampleError as error:
            goes_on = errors.handle(error)
            report.dropped[DAMAGED] += 1
            if not goes_on:
                return
            continue
        yield row
        report.samples_out += 1


def _write_table(form: str, rows: Iterable[Row], target: str, inputs: Inputs, *, force: bool, dry_run: bool) -> None:
    if not force and exists(target, inputs.access):
        raise SpecError("there is such a file already; --force (force=True) replaces it", url=target)
    if dry_run:
        FORMATS[form](rows, len)  # what a format cannot hold is an error here, too
        return
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
