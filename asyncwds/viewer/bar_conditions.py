"""Bars of histograms → conditions that hold for the samples that are counted in them, in the language of the tools. No I/O."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterable, Sequence
from typing import Any

from asyncwds.compression.kinds import SUFFIXES
from asyncwds.viewer.histograms import LONGEST_NAME, NO_VALUE, Of, known_name

_WHOLE_NUMBERS = ("cls", "cls2", "index", "inx", "id")  # fields that conditions have as numbers


def add_conditions(found: dict[str, Any], field: str, of: Of, path: str, values: Iterable[Any] = ()) -> dict[str, Any]:
    """The histogram, with `where` in each bar; None in those for which there is no condition: of compressed fields, of what is no
    number, and of JSON's null, which conditions don't tell from what is missing.

    `values` are those that were counted, where it is of values.
    """
    known = [value for value in values if value is not NO_VALUE]
    is_length = any(isinstance(value, list | dict) for value in known)
    if not _can_be_named(field) or (is_length and not path):
        conditions: list[str | None] = [None] * len(found["bars"])
    elif found["kind"] == "numbers":
        conditions = list(_ranges(found["bars"], _measured(field, of, path, is_length)))
    else:
        by_name = {known_name(len(value) if isinstance(value, list | dict) else value): value for value in known}
        all_whole = all(isinstance(value, int) and not isinstance(value, bool) for value in known)
        measured = _measured(field, of, path, is_length) if path or of != "value" else None
        conditions = [_is(bar["name"], by_name[bar["name"]], measured, field, all_whole) for bar in found["bars"]]
    return {**found, "bars": [{**bar, "where": where} for bar, where in zip(found["bars"], conditions, strict=True)]}


def _can_be_named(field: str) -> bool:
    """Not those whose names are shown escaped, nor compressed ones, which conditions don't unpack."""
    last = field.rpartition(".")[2]
    return field.isprintable() and "\\" not in field and not (SUFFIXES.get(last) or SUFFIXES.get(f".{last}"))


def _measured(field: str, of: Of, path: str, is_length: bool) -> str:
    name = _named(field)
    if of == "size":
        return f"size({name})" if field else "nbytes"
    if of == "length":
        return f"len(strip(text({name})))"
    if of == "words":
        return f"words(text({name}))"
    if not path:
        return f"float(text({name}))"
    value = name + "".join([f".{step}" if _is_plain(step) else f"[{step!r}]" for step in path.split(".")])
    return f"len({value})" if is_length else value


def _named(field: str) -> str:
    return field if all(map(_is_plain, field.split("."))) else f"field({field!r})"


def _is_plain(name: str) -> bool:
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)


def _ranges(bars: Sequence[dict[str, Any]], measured: str) -> Iterable[str]:
    """Of numbers from one edge up to the next; the last bar has its upper edge too."""
    for number, bar in enumerate(bars):
        yield f"{_number(bar['from'])} <= {measured} {'<=' if number == len(bars) - 1 else '<'} {_number(bar['to'])}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _is(name: str, value: Any, measured: str | None, field: str, all_whole: bool) -> str | None:
    """Of a value by name: in JSON, what was measured, or all of a text."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if measured is None and isinstance(value, float):
        return f"float(text({_named(field)})) == {value!r}"
    if measured is None and all_whole and field.rpartition(".")[2] in _WHOLE_NUMBERS:
        return f"{_named(field)} == {value}"
    if measured is None:
        measured, value = f"strip(text({_named(field)}))", value if isinstance(value, str) else name
    elif isinstance(value, list | dict):
        value = len(value)
    if isinstance(value, str) and len(value) >= LONGEST_NAME:
        return f"startswith({measured}, {value[:LONGEST_NAME]!r})"
    return f"{measured} == {value!r}"
