"""The accelerator, `_scan.c`: found where it was built and is wanted."""

from __future__ import annotations

import os
from functools import cache
from typing import Protocol

from asyncwds.samples import Sample

OFF = "ASYNCWDS_PURE"


class Scanner(Protocol):
    def __call__(  # noqa: PLR0917 - one call for each chunk, in C
        self,
        chunk: bytes | memoryview,
        pos: int,
        fit: int,
        base: int,
        most: int,
        most_extended: int,
        type_: type[Sample],
        template: dict[str, str],
        shard: int,
        ordinal: int,
        sample: Sample | None,
        seen: set[str],
        samples: list[Sample],
        /,
    ) -> tuple[int, bool, int, Sample | None]:
        """Takes plain members of `chunk[pos:fit]`, as the parser would, into `sample` and `samples`, as the grouper would.

        Returns where it stopped, whether that was at a member of another kind behind some that it took, the next ordinal and
        the sample that is open. Raises MemoryError alone.
        """
        ...


class SpanScanner(Protocol):
    def __call__(  # noqa: PLR0917 - one call for many samples, in C
        self, file: int, offset: int, size: int, enough: int, most: int, most_extended: int, /
    ) -> tuple[list[str], list[int]]:
        """The keys of samples from `offset` on, of which headers alone are read, and where each of them begins and the last one
        ends [bytes]: plain ones, as the parser and the grouper would make them, of `enough` bytes or few more.

        The last sample of a run is left out, as something that comes behind it may be part of it. What cannot be read ends the run.
        """
        ...


def find_scanner() -> Scanner | None:
    """None where it was not built (no compiler; a free-threaded interpreter), and with $ASYNCWDS_PURE=1."""
    return _find_built() if _is_wanted() else None


def find_span_scanner() -> SpanScanner | None:
    """For local files; None as for `find_scanner`."""
    return _find_built_for_spans() if _is_wanted() else None


def _is_wanted() -> bool:
    return os.environ.get(OFF, "0") in ("", "0")


@cache  # what is not there is looked for each time: 50 us a shard
def _find_built() -> Scanner | None:
    try:
        from asyncwds.tar._scan import take_run  # noqa: PLC0415 - absent without harm
    except ImportError:
        return None
    return take_run


@cache  # as above
def _find_built_for_spans() -> SpanScanner | None:
    try:
        from asyncwds.tar._scan import find_spans  # noqa: PLC0415 - as above
    except ImportError:
        return None
    return find_spans
