"""Texts for terminals, logs and `repr`: what comes from outside made printable, numbers in sentences, and values in short: sizes
and types in place of payloads, names in place of functions.

Names in shards, answers of servers and what commands say may hold anything: sequences that a terminal obeys, line ends that
forge a line of a log, characters that turn the direction of writing around, halves of surrogate pairs that no stream takes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any


def printable(text: str) -> str:
    r"""The text, with what is not printable written as Python writes it in a string: `\n`, `\x1b`, `\u202e`.

    A backslash stays one, so that text in which something is escaped already, as by `repr`, can be part of it; and what is
    escaped twice is not changed by the second time.
    """
    return text if text.isprintable() else "".join([char if char.isprintable() else repr(char)[1:-1] for char in text])


def escape(name: str) -> str:
    r"""As `printable`, with each backslash as two: no two names look alike."""
    return printable(name.replace("\\", "\\\\"))


MB = 1e6
GB = 1e9


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """ "1 shard", "2 shards", "2 batches"; `nouns` is for words that take more than an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def size(nbytes: float) -> str:
    """With a unit that leaves at most three digits before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"


def duration(seconds: float) -> str:
    """In the largest unit of which there is one at least."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


LONGEST_LIST = 6  # items of a list, a tuple or a mapping that are shown
LONGEST_TEXT = 60  # characters of a string that are shown
LONGEST_LINE = 240  # characters of what an object says of itself
PLAIN = (bool, int, float, complex, type(None))
MARKS: dict[type, str] = {list: "[]", tuple: "()"}


def show_value(value: Any) -> str:
    """At most about a line: short values as `repr` has them, others by type and size; functions and classes by name."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, str):
        return repr(value) if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]!r}… ({len(value)} characters)"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{type(value).__name__}, {len(value)} B>"
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return show_items(value)
    return show_array(value) or show_object(value)


def show_array(value: Any) -> str | None:
    """Type, shape and kind of numbers of an array or tensor, mode and size of an image of Pillow's; None for anything else."""
    if isinstance(value, type):
        return None
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"<{type(value).__name__} {list(value.shape)} {str(value.dtype).removeprefix('torch.')}>"
    if hasattr(value, "size") and hasattr(value, "mode"):
        return f"<{type(value).__name__} {value.mode} {value.size[0]}x{value.size[1]}>"
    return None


def show_items(values: Any) -> str:
    """The first items of a list, tuple, set or mapping, and how many more there are."""
    first = [value for value, _ in zip(values, range(LONGEST_LIST), strict=False)]
    if isinstance(values, Mapping):
        shown, marks = [f"{show_value(key)}: {show_value(values[key])}" for key in first], "{}"
    else:
        shown, marks = [show_value(item) for item in first], MARKS.get(type(values), "{}")
    more = [f"… {len(values) - len(first)} more"] if len(values) > len(first) else []
    comma = "," if marks == "()" and len(values) == 1 else ""
    return f"{marks[0]}{', '.join(shown + more)}{comma}{marks[1]}"


def show_object(value: Any) -> str:
    """A function or class by its name; settings and stages by those arguments that are not the defaults; others in short."""
    if isinstance(value, functools.partial):
        return show_call("partial", (value.func, *value.args), value.keywords)
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    if is_dataclass(value) and not isinstance(value, type):
        return show_call(type(value).__name__, (), changed_fields(value))
    first, *more = repr(value).splitlines() or [""]
    return first if len(first) <= LONGEST_LINE and not more else f"{first[:LONGEST_LINE]} …"


def show_call(name: str, args: Sequence[Any], keywords: Mapping[str, Any]) -> str:
    shown = [show_value(arg) for arg in args] + [f"{key}={show_value(value)}" for key, value in keywords.items()]
    return f"{name}({', '.join(shown)})"


def changed_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not their defaults, of those that its `repr` may show."""
    return {one.name: getattr(value, one.name) for one in fields(value) if one.repr and getattr(value, one.name) != _default(one)}


def first_field(value: Any) -> str | None:
    """The name of a dataclass' first field, the argument that is given without its name."""
    return next((one.name for one in fields(value)), None)


def method_name(class_name: str) -> str:
    """What makes it: `ToTuple` is made by `to_tuple`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


def shorten_lines(lines: Sequence[str], at_most: int = 10) -> list[str]:
    """The first lines, a line that says how many are left out, and the last."""
    if len(lines) <= at_most:
        return list(lines)
    return [*lines[: at_most - 2], f"    … {len(lines) - at_most + 1} more lines", lines[-1]]


def html_block(text: str) -> str:
    import html  # noqa: PLC0415 - for notebooks alone, as below

    return f"<pre>{html.escape(text)}</pre>"


def html_table(rows: Mapping[str, Any]) -> str:
    import html  # noqa: PLC0415 - as above

    cells = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(show_value(value))}</td></tr>" for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


def _default(one: Any) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default
