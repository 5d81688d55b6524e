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


def find_scanner() -> Scanner | None:
    """None where it was not built (no compiler; a free-threaded interpreter), and with $ASYNCWDS_PURE=1."""
    return _find_built() if os.environ.get(OFF, "0") in ("", "0") else None


@cache  # what is not there is looked for each time: 50 us a shard
def _find_built() -> Scanner | None:
    try:
        from asyncwds.tar._scan import take_run  # noqa: PLC0415 - absent without harm
    except ImportError:
        return None
    return take_run
