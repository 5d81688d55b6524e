"""Drafts → runs of samples as they stand in an archive, in processes: `pack_in_processes`.

draft, draft, … ─► read, encode, put headers before ─► run, or as far as there was no error ─► whoever writes, in order
this process       each of the others                                                        this process
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import NamedTuple

from asyncwds.errors import SampleError, WdsError
from asyncwds.formatting.texts import plural, printable
from asyncwds.runtime.units import MiB
from asyncwds.tar.raw_runs import RawRun
from asyncwds.tools.creating.draft import Draft
from asyncwds.tools.making import SampleMaker
from asyncwds.tools.processing.running import call_each_in_processes

MOST, LARGEST = 64, 2 * MiB
"""Samples, and about how many bytes, that a process makes at once."""


class Packed(NamedTuple):
    """What drafts of one group became: samples, errors of those that were left out, and the one at which this ends."""

    group: str
    run: RawRun
    errors: list[str]
    failure: WdsError | None


def pack_in_processes(drafts: Iterable[Draft], jobs: int, *, skips: bool) -> Generator[Packed, None, None]:
    """In the order of the drafts. With `skips` samples that cannot be made are left out. To be closed."""
    size = _ChunkSize()
    function = partial(_pack, skips=skips)
    with closing(call_each_in_processes(function, _chunks(drafts, size), jobs, _describe)) as results:
        for _, packed in results:
            size.see(packed)
            yield packed


class _ChunkSize:
    """How many drafts are sent at once: by how large samples were so far, of which nobody knows before they are read."""

    def __init__(self) -> None:
        self._samples = self._bytes = 0

    def see(self, packed: Packed) -> None:
        self._samples += len(packed.run)
        self._bytes += packed.run.nbytes

    def next(self) -> int:
        return max(1, min(MOST, LARGEST * self._samples // self._bytes)) if self._bytes else 1


def _chunks(drafts: Iterable[Draft], size: _ChunkSize) -> Iterator[list[Draft]]:
    """Each of one group."""
    rest = iter(drafts)
    while chunk := list(islice(rest, size.next())):
        while chunk:
            same = next((number for number, draft in enumerate(chunk) if draft.group != chunk[0].group), len(chunk))
            yield chunk[:same]
            chunk = chunk[same:]


def _pack(drafts: Sequence[Draft], *, skips: bool) -> Packed:
    make = SampleMaker()
    pieces: list[bytes | memoryview] = []
    keys: list[str] = []
    offsets = [0]
    errors: list[str] = []
    failure: WdsError | None = None
    for draft in drafts:
        try:
            sample = make(draft.sample(), draft.origin)
        except WdsError as error:
            if skips and isinstance(error, SampleError):
                errors.append(printable(str(error)))
                continue
            failure = error
            break
        pieces += [piece.read() for member in sample.members for piece in member.pieces]
        keys.append(sample.key)
        offsets.append(offsets[-1] + sample.nbytes)
    return Packed(drafts[0].group, RawRun(drafts[0].origin, 0, 0, b"".join(pieces), keys, offsets), errors, failure)


def _describe(drafts: Sequence[Draft]) -> str:
    return f"{plural(len(drafts), 'sample')} from {drafts[0].origin} on"
