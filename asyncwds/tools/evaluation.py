"""The value of an expression for a sample, node by node; what the language is stands in `expressions`."""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from asyncwds.errors import SampleError, SpecError
from asyncwds.tar.raw import RawMember, RawSample

_NUMBERS = frozenset({"cls", "cls2", "index", "inx", "id"})
_TEXTS = frozenset({"txt", "text", "transcript"})
_STANDS_FOR = ("txt", "json", "cls")
"""`caption` is `caption.txt` where no field is called caption."""
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
COMPUTE: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_METHODS: dict[str, Callable[..., Any]] = {
    "startswith": lambda text, start: text.startswith(start),
    "endswith": lambda text, end: text.endswith(end),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "strip": lambda text: text.strip(),
}


class Fields:
    """The fields of a sample, each read and parsed when it is first asked for."""

    def __init__(self, sample: RawSample) -> None:
        self.sample = sample
        self.members = sample.fields()
        self._values: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        if name not in self._values:
            member = self.members.get(name)
            self._values[name] = None if member is None else self._parsed(member)
        return self._values[name]

    def _parsed(self, member: RawMember) -> Any:
        data, kind = member.read(), member.field.rpartition(".")[2]
        try:
            if kind == "json":
                return json.loads(data)
            if kind in _NUMBERS:
                return int(data)
            return data.decode() if kind in _TEXTS else data
        except (ValueError, RecursionError) as error:
            message = f"the field {member.field!r} does not hold what its name says: {error}"
            raise SampleError(message, url=self.sample.url, offset=self.sample.offset, key=self.sample.key) from error


def evaluate(node: ast.expr, fields: Fields) -> Any:  # noqa: PLR0911 - one answer a kind of node
    """Raises SampleError for a field that does not hold what its name says."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return _lookup(node, fields)
        case ast.BoolOp(op=op, values=parts):
            wanted = isinstance(op, ast.Or)
            return next((True for part in parts if truth(evaluate(part, fields)) == wanted), False) == wanted
        case ast.UnaryOp(op=op, operand=part):
            return _unary(op, evaluate(part, fields))
        case ast.BinOp(left=left, op=op, right=right):
            return _computed(COMPUTE[type(op)], evaluate(left, fields), evaluate(right, fields))
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compared(left, ops, others, fields)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [evaluate(part, fields) for part in parts]
        case ast.Call(func=function, args=arguments):
            return _called(function, arguments, fields)
    raise SpecError(f"{ast.unparse(node)[:80]!r} is not of the language of conditions")


def truth(value: Any) -> bool:
    """NaN is none."""
    return False if isinstance(value, float) and math.isnan(value) else bool(value)


def _unary(op: ast.unaryop, value: Any) -> Any:
    if isinstance(op, ast.Not):
        return not truth(value)
    if not _is_number(value):
        return None
    return -value if isinstance(op, ast.USub) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _computed(compute: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Of numbers; `+` also joins text."""
    both_text = compute is operator.add and isinstance(left, str) and isinstance(right, str)
    if not both_text and not (_is_number(left) and _is_number(right)):
        return None
    try:
        return compute(left, right)
    except (ZeroDivisionError, OverflowError):
        return None


def _compared(left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr], fields: Fields) -> bool:
    value = evaluate(left, fields)
    for op, other in zip(ops, others, strict=True):
        following = evaluate(other, fields)
        if not _holds(op, value, following):
            return False
        value = following
    return True


def _holds(op: ast.cmpop, left: Any, right: Any) -> bool:  # noqa: PLR0911 - one answer a kind of comparison
    if isinstance(op, ast.Is):
        return left is None
    if isinstance(op, ast.IsNot):
        return left is not None
    if isinstance(op, ast.In | ast.NotIn):
        found = _is_in(left, right)
        return False if found is None else found is isinstance(op, ast.In)
    if left is None or right is None:
        return left is right and isinstance(op, ast.Eq)
    if any(isinstance(side, float) and math.isnan(side) for side in (left, right)):
        return False
    try:
        return bool(COMPARE[type(op)](left, right))
    except TypeError:  # no order between them
        return False


def _is_in(left: Any, right: Any) -> bool | None:
    """None where the question makes no sense."""
    if left is None or not isinstance(right, str | bytes | list | dict):
        return None
    try:
        return left in right
    except TypeError:
        return None


def _lookup(node: ast.expr, fields: Fields) -> Any:
    """A name with what follows it by dots and brackets: the longest beginning that is a field, then into its value."""
    steps: list[Any] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        steps.append(node.attr if isinstance(node, ast.Attribute) else ast.literal_eval(node.slice))
        dotted, node = isinstance(node, ast.Attribute), node.value
        if not dotted:
            steps[-1] = (steps[-1],)
    steps.reverse()
    if not isinstance(node, ast.Name):
        return _into(evaluate(node, fields), steps)
    names = [node.id]
    for step in steps:
        if isinstance(step, tuple):
            break
        names.append(step)
    for count in range(len(names), 0, -1):
        name = ".".join(names[:count]).lower()
        if name in fields.members:
            return _into(fields.value(name), steps[count - 1 :])
    for kind in _STANDS_FOR:
        name = f"{node.id}.{kind}".lower()
        if name in fields.members:
            return _into(fields.value(name), steps)
    sample = fields.sample
    known = {"key": sample.key, "shard": sample.url, "index": sample.ordinal, "nbytes": sample.nbytes}
    return _into(known.get(node.id), steps)


def _into(value: Any, steps: list[Any]) -> Any:
    for step in steps:
        wanted = step[0] if isinstance(step, tuple) else step
        try:
            value = value[wanted] if isinstance(value, dict | list) else None
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _member(node: ast.expr, fields: Fields) -> RawMember | None:
    """The field that an expression names, if it is no more than that."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "field":
        assert isinstance(node.args[0], ast.Constant)
        return fields.members.get(str(node.args[0].value).lower())
    return fields.members.get(ast.unparse(node).lower())


def _called(function: ast.expr, arguments: list[ast.expr], fields: Fields) -> Any:  # noqa: PLR0911 - one answer a function
    if isinstance(function, ast.Attribute):
        values = [evaluate(each, fields) for each in (function.value, *arguments)]
        return _METHODS[function.attr](*values) if all(isinstance(value, str) for value in values) else None
    assert isinstance(function, ast.Name)
    if function.id == "size":
        member = _member(arguments[0], fields)
        return None if member is None else member.size
    if function.id == "has":
        return _member(arguments[0], fields) is not None or evaluate(arguments[0], fields) is not None
    if function.id == "field":
        assert isinstance(arguments[0], ast.Constant)
        return fields.value(str(arguments[0].value).lower())
    if function.id in _OF_BYTES:
        member = _member(arguments[0], fields)
        return None if member is None else _OF_BYTES[function.id](member.read())
    values = [evaluate(each, fields) for each in arguments]
    if any(value is None for value in values):
        return None
    try:
        return _FUNCTIONS[function.id](*values)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None


@lru_cache(maxsize=64)
def _pattern(pattern: str) -> Callable[[str], Any]:
    return re.compile(fnmatch.translate(pattern)).match


def _number(kind: Callable[[Any], Any], value: Any) -> Any:
    return kind(value.decode() if isinstance(value, bytes) else value)


_OF_BYTES: Mapping[str, Callable[[bytes], str]] = {
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
    "text": lambda data: data.decode("utf-8", "replace"),
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "len": len,
    "words": lambda text: len(text.split()),
    "like": lambda text, pattern: _pattern(pattern)(text) is not None,
    "int": lambda value: _number(int, value),
    "float": lambda value: _number(float, value),
    "str": lambda value: value.decode() if isinstance(value, bytes) else str(value),
    "abs": abs,
    "min": min,
    "max": max,
    **{
        name: lambda text, *rest, name=name: _METHODS[name](text, *rest)
        for name in ("lower", "upper", "strip", "startswith", "endswith")
    },
}
