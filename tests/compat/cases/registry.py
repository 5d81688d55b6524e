"""A case is a function of one of the two libraries, and of a folder, that gives items; its name says what it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = Callable[[Any, Path], Any]
CASES: dict[str, Case] = {}


def add(name: str, case: Case) -> None:
    assert name not in CASES, name
    CASES[name] = case
