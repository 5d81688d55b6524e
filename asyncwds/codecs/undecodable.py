"""The error of a field that cannot be decoded; and what a pickle is refused for, and how to allow it."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from asyncwds.errors import DecodeError
from asyncwds.formatting.texts import plural
from asyncwds.samples import whereabouts

SHOWN_BYTES = 16


def undecodable(sample: Any, field: str, cause: Exception) -> DecodeError:
    reason = re.sub(r" at 0x[0-9a-f]+", "", str(cause))  # of objects in it, which would be another one each time
    what = f"field {field!r} cannot be decoded: {type(cause).__name__}: {reason}"
    error = DecodeError(f"{what}{_content(sample[field])}", **whereabouts(sample))
    error.field = field
    error.sample = sample
    return error


def _content(value: Any) -> str:
    """What there is in place of what should be: mostly an error page, or nothing at all."""
    if not isinstance(value, bytes):
        return ""
    beginning = f", which begin with {value[:SHOWN_BYTES]!r}" if value else ""
    return f"; it has {plural(len(value), 'byte')}{beginning}"


ALLOWING = (
    "which is not plain data and could run any code. If you trust whoever wrote it, allow it: "
    'decode(pickle=[classes that it needs]), decode(pickle="any"), or WDS_ALLOW_PICKLE=1'
)


def refuse(what: str) -> NoReturn:
    raise DecodeError(f"the pickle holds {what[:200]!a}, {ALLOWING}")
