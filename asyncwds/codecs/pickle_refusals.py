"""What a pickle is refused for, and how to allow it."""

from __future__ import annotations

from typing import NoReturn

from asyncwds.errors import DecodeError

ALLOWING = (
    "which is not plain data and could run any code. If you trust whoever wrote it, allow it: "
    'decode(pickle=[classes that it needs]), decode(pickle="any"), or WDS_ALLOW_PICKLE=1'
)


def refuse(what: str) -> NoReturn:
    raise DecodeError(f"the pickle holds {what[:200]!a}, {ALLOWING}")
