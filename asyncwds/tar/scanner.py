"""The accelerator, `_scan.c`: found where it was built and is wanted."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from asyncwds.samples import Sample
from asyncwds.tar.members import ReadRun

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
        seen: set[str] | bytearray,
        samples: list[Sample],
        /,
    ) -> tuple[int, bool, int, Sample | None]:
        """Takes plain members of `chunk[pos:fit]`, as the parser would, into `sample` and `samples`, as the grouper would, and
        their keys into `seen`, which is that of `KnownKeys`.

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


class TableScanner(Protocol):
    def __call__(  # noqa: PLR0917 - one call for each chunk, in C
        self,
        chunk: bytes | memoryview,
        pos: int,
        fit: int,
        base: int,
        most: int,
        most_extended: int,
        pax: bytes,
        pending: bytes | None,
        numbers: dict[tuple[str, ...], int],
        schemas: list[tuple[str, ...]],
        /,
    ) -> tuple[int, bool, bytes, bytes, bytes, bytes]:
        """Takes whole samples of `chunk[pos:fit]` whose members are plain, of names that `verify` has nothing to say about, and
        not empty; but none with the key that is `pending`.

        `pax` is what PAX headers have from their typeflag on: others are odd. Returns where it stopped, which is before a sample,
        whether that one has something odd, and columns: keys, each with a zero behind it, their hashes, offsets [bytes], and the
        numbers of their fields, which are entered in `numbers` and `schemas`: 64-bit integers.
        """
        ...


def find_scanner() -> Scanner | None:
    """None where it was not built (no compiler; a free-threaded interpreter), and with $ASYNCWDS_PURE=1."""
    scanner: Scanner | None = _find("take_run")
    return scanner


def find_span_scanner() -> SpanScanner | None:
    """For local files; None as for `find_scanner`."""
    scanner: SpanScanner | None = _find("find_spans")
    return scanner


def find_table_scanner() -> TableScanner | None:
    """For tables of samples; None as for `find_scanner`."""
    scanner: TableScanner | None = _find("take_table")
    return scanner


def find_run_reader() -> ReadRun | None:
    """For headers of small members, in Python; None where numpy is not loaded, which takes longer than a few shards do."""
    if "numpy" not in sys.modules:
        return None
    from asyncwds.tar.header_runs import read_run  # noqa: PLC0415 - needs numpy

    return read_run


def _find(name: str) -> Any:
    return getattr(_find_built(), name, None) if os.environ.get(OFF, "0") in ("", "0") else None


@cache  # what is not there is looked for each time: 50 us a shard
def _find_built() -> ModuleType | None:
    try:
        return import_module("asyncwds.tar._scan")
    except ImportError:
        return None
