"""The header `Range` of a request (RFC 9110, 14). No I/O."""

from __future__ import annotations

import re

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """[start, stop) of the `size` bytes; None for all of them, as for a header that makes no sense or has several ranges.

    Raises ValueError for a range that lies behind the end.
    """
    found = _ONE.fullmatch((header or "").replace(" ", ""))
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise ValueError(f"there are only {size} bytes")
    return start, stop
