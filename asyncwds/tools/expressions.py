"""A small safe language for conditions on samples: `json.width >= 512 and len(txt) > 20 and key.startswith("n0144")`.

It is parsed by `ast` and evaluated here, node by node: no `eval`, no calls but those below, no attributes of Python objects.

    txt, cls, json, jpg          the field's value: .json parsed, .cls and other numbers as numbers, .txt as text, others as bytes
    json.width, json["a b"][0]   into what JSON holds; a field may have dots too: `seg.json.width` is of `seg.json` if there is one
    field("my-depth.png")        a field whose name is no name of Python's
    caption                      the field caption, or if there is none caption.txt, caption.json or caption.cls
    key, shard, index, nbytes    of the sample: its key, the url of its shard, its number there, the bytes it takes with headers
    size(jpg), len(txt)          bytes of a field, which are not read for that; length of text, bytes, a list
    text(cls), words(txt)        a field as text, whatever its name says; how many words a text has
    has(json.caption)            whether it is there
    sha256(jpg), like(key, "n01*"), lower, upper, strip, startswith, endswith, int, float, str, abs, min, max
    and or not, == != < <= > >=, in, not in, is None, + - * / // %, ( , ) [ , ]

What is missing (a field, a name in JSON, a list's item) is None, and so is arithmetic with None, text that is no number, and a
division by zero. A comparison with None, with NaN, or of things that have no order is false (`!=` too), but for `is None` and
`== None`; so `not (json.width >= 512)` is true of a sample without a width. A field that does not hold what its name says (JSON
that is none) is a SampleError.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.tar.raw import RawSample
from asyncwds.tools.evaluation import COMPARE, COMPUTE, Fields, evaluate, truth

LONGEST = 10_000  # characters
_METHOD_ARGUMENTS = {"startswith": (1,), "endswith": (1,), "lower": (0,), "upper": (0,), "strip": (0,)}
_ARGUMENTS = {
    **dict.fromkeys(("size", "has", "field", "sha256", "text", "len", "words", "int", "float"), (1,)),
    **dict.fromkeys(("str", "abs", "lower", "upper", "strip"), (1,)),
    **dict.fromkeys(("like", "startswith", "endswith"), (2,)),
    **{name: tuple(range(1, 10)) for name in ("min", "max")},
}


@dataclass(frozen=True)
class Expression:
    """A condition, or a value, of samples. Made by `parse`."""

    text: str
    body: ast.expr

    def value(self, sample: RawSample | Fields) -> Any:
        """Raises SampleError for a field that does not hold what its name says."""
        return evaluate(self.body, sample if isinstance(sample, Fields) else Fields(sample))

    def is_true(self, sample: RawSample | Fields) -> bool:
        return truth(self.value(sample))


def parse(text: str) -> Expression:
    """Raises SpecError for what is not of the language."""
    if len(text) > LONGEST:
        raise SpecError(f"an expression has at most {LONGEST} characters, not {len(text)}")
    try:
        body = ast.parse(text.strip(), mode="eval").body
        _check(body, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"this is no expression: {text[:200]!r} ({type(error).__name__}: {error})") from error
    return Expression(text, body)


def _check(node: ast.expr, text: str) -> None:
    """All that may come is checked before a sample is read."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None) | ast.Name():
            return
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            pass
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=part) | ast.Attribute(value=part):
            parts = [part]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in COMPUTE:
            parts = [left, right]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(
            _is_known(op, other) for op, other in zip(ops, others, strict=True)
        ):
            parts = [left, *others]
        case ast.Subscript(value=part, slice=ast.Constant(value=int() | str()) | ast.UnaryOp(op=ast.USub())):
            parts = [part]
        case ast.Call(func=function, args=parts, keywords=[]):
            _check_call(function, parts, text)
            if isinstance(function, ast.Attribute):
                parts = [function.value, *parts]
        case _:
            raise SpecError(f"{ast.unparse(node)[:80]!r} is not of the language of conditions: {text[:200]!r}")
    for each in parts:
        _check(each, text)


def _is_known(op: ast.cmpop, other: ast.expr) -> bool:
    if isinstance(op, ast.Is | ast.IsNot):
        return isinstance(other, ast.Constant) and other.value is None
    return type(op) in COMPARE or isinstance(op, ast.In | ast.NotIn)


def _check_call(function: ast.expr, arguments: list[ast.expr], text: str) -> None:
    name = function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    counts = _METHOD_ARGUMENTS if isinstance(function, ast.Attribute) else _ARGUMENTS
    if len(arguments) not in counts.get(name, ()):
        known = ", ".join(sorted({*_ARGUMENTS, *_METHOD_ARGUMENTS}))
        raise SpecError(
            f"there is no function {name[:40]!r} with {len(arguments)} arguments in conditions ({known}): {text[:200]!r}"
        )
    if name == "field" and not (isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, str)):
        raise SpecError(f"field() takes the name of a field in quotes: {text[:200]!r}")
