"""`show`: samples as people look at them: in lines for a terminal, or in one file of HTML."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from asyncwds import checks
from asyncwds.errors import SpecError, redact
from asyncwds.previews.preview import FieldPreview, preview_field
from asyncwds.tar.raw import RawSample
from asyncwds.tools.copying import select
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.report import Report
from asyncwds.tools.selection import Selection
from asyncwds.tools.showing.contact_sheet import page_foot, page_head, sample_card
from asyncwds.tools.showing.lines import lines_of
from asyncwds.tools.showing.terminal import Style
from asyncwds.tools.targets import exists, open_target

MAX_EMBEDDED = 8 * 10**6  # [bytes]


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


def write_contact_sheet(
    inputs: Inputs,
    target: str,
    selection: Selection | None = None,
    *,
    only: Sequence[str] = (),
    max_embedded: int = MAX_EMBEDDED,
    force: bool = False,
) -> Report:
    """Writes the samples that are wanted to one page of HTML, which is there whole or not at all; a sample is in memory at a time.

    target        path or URL, `-` for standard output
    only          as for `show_samples`
    max_embedded  recordings and videos of at most so many bytes can be played in the page; of other videos there is the first frame
    force         replace what is there

    Raises as `show_samples`, and SpecError where there is such a file already.
    """
    checks.whole("max_embedded", max_embedded, 0)
    if not force and exists(target, inputs.access):
        raise SpecError("there is such a file already; --force (force=True) replaces it", url=target)
    report, title = Report(), ", ".join(redact(url) for url in inputs.urls)
    output = open_target(target, inputs.access)
    try:
        output.write(page_head(title).encode())
        with closing(show_samples(inputs, selection, only=only, report=report)) as samples:
            for sample in samples:
                output.write(sample_card(sample, max_embedded).encode())
        output.write(page_foot(report).encode())
        report.check()
        output.commit()
    except BaseException:
        output.abort()
        raise
    return report
