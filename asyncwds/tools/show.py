"""`show`: samples as people look at them: in lines for a terminal, or in one file of HTML."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from asyncwds.errors import redact
from asyncwds.previews.preview import FieldPreview, preview_field
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import select
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.showing.lines import lines_of
from asyncwds.tools.showing.terminal import Style


@dataclass(frozen=True)
class SamplePreview:
    """A sample: key, url of its shard, its number there and the offset [bytes] of its first header, the bytes that it takes with
    headers, and its fields.
    """

    key: str
    url: str
    ordinal: int
    offset: int
    nbytes: int
    fields: tuple[FieldPreview, ...]

    def lines(self, style: Style | None = None) -> list[str]:
        r"""For people, plain if no style says otherwise. What is not printable is written as `\x1b`."""
        return list(lines_of(self, style or Style()))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        about = {"key": self.key, "url": redact(self.url), "index": self.ordinal, "offset": self.offset, "bytes": self.nbytes}
        return about | {"fields": [field.as_dict() for field in self.fields]}


def show_samples(
    inputs: Inputs, selection: Selection | None = None, *, only: Sequence[str] = (), report: Report | None = None
) -> Generator[SamplePreview, None, None]:
    """Previews of the samples that are wanted, in order. To be closed.

    only     these fields; a sample that has none of them is dropped
    report   counts the samples

    A field that is not what its name says is shown as that. Raises SpecError, FetchError, TarError, SampleError.
    """
    report = Report() if report is None else report
    names = {name.lower() for name in only}
    with closing(select(inputs, selection or Selection(), report)) as samples:
        for sample in samples:
            found = preview_sample(sample, names)
            if names and not found.fields:
                report.dropped["no such field"] += 1
                continue
            report.samples_out += 1
            yield found


def preview_sample(sample: RawSample, only: set[str] | None = None) -> SamplePreview:
    """Its fields, or those of these names."""
    members = {name: member for name, member in sample.fields().items() if not only or name in only}
    fields = tuple(preview_field(name, member.read()) for name, member in members.items())
    return SamplePreview(sample.key, sample.url, sample.ordinal, sample.offset, sample.nbytes, fields)
