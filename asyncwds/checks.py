"""Checks of arguments. Each raises SpecError with the argument, its value and what would do; numbers come back as Python's.

An integer is what can be an index, numpy's too, but not True or False; a number is what counts as real, except NaN.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, signature
from numbers import Real
from os import PathLike
from types import AsyncGeneratorType, CoroutineType, FunctionType, MethodType
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import plural, show_value

ASYNCHRONOUS = (CoroutineType, AsyncGeneratorType)
_INSTEAD = "await it in the loop over the dataset (`async for sample in dataset`), or give a function that blocks"


def whole(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """A whole number within bounds."""
    wanted = f"a whole number{_bounds(least, most)}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _wrong(name, value, wanted)
    try:
        number = operator.index(value)
    except TypeError:  # an array of several numbers
        raise _wrong(name, value, wanted) from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise _wrong(name, value, wanted)
    return number


def real(name: str, value: Any, least: float | None = None, most: float | None = None, *, above: float | None = None) -> float:
    """A number within bounds, infinity included."""
    wanted = f"a number above {above}{_bounds(None, most)}" if above is not None else f"a number{_bounds(least, most)}"
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        raise _wrong(name, value, wanted)
    number = float(value)
    if (least is not None and number < least) or (most is not None and number > most) or (above is not None and number <= above):
        raise _wrong(name, value, wanted)
    return number


def count(name: str, value: Any) -> int | None:
    """A number of passes or items, where -1 and None are without end."""
    if value is None or (not isinstance(value, bool) and value == -1):
        return None
    return whole(f"{name} (-1 is without end)", value, 1)


def workers(name: str, value: Any) -> None:
    """A number of workers, "auto", or None for none."""
    if value is None or (isinstance(value, str) and value == "auto"):
        return
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _wrong(name, value, "a whole number of at least 1, 'auto' or None")
    whole(name, value, 1)


def flag(name: str, value: Any) -> None:
    """True or False, or what Python takes for them without a doubt: 0 and 1, numpy's, None. Not "no", which is true."""
    if value is not None and not hasattr(value, "__bool__"):
        raise _wrong(name, value, "True or False")


def text(name: str, value: Any, *, optional: bool = False) -> None:
    if not isinstance(value, str) and not (optional and value is None):
        raise _wrong(name, value, "text" + _or_none(optional))


def path(name: str, value: Any, *, optional: bool = False) -> None:
    """A path that is not empty, as text or a Path."""
    if optional and value is None:
        return
    if not isinstance(value, str | PathLike) or not str(value):
        raise _wrong(name, value, "a path" + _or_none(optional))


def paths(name: str, value: Any, number: int) -> None:
    if not isinstance(value, tuple | list) or len(value) != number:
        raise _wrong(name, value, f"{number} paths")
    for each in value:
        path(name, each)


def names(name: str, value: Any) -> list[str]:
    """Names in a list, or in text with spaces between."""
    given = value.split() if isinstance(value, str) else value
    if not isinstance(given, Iterable) or isinstance(given, bytes | Mapping):
        raise _wrong(name, value, "names")
    found = list(given)
    for each in found:
        text(name, each)
    return found


def one_of(name: str, value: Any, known: Collection[Any]) -> None:
    """One of a few values that are text, numbers or None."""
    if isinstance(value, Collection) and not isinstance(value, str):
        raise _wrong(name, value, " or ".join(map(repr, known)))
    if value not in known:
        raise _wrong(name, value, " or ".join(map(repr, known)))


def instance(name: str, value: Any, kind: type, *, optional: bool = False) -> None:
    """An object of a class, such as one of the settings; not the class itself."""
    if not isinstance(value, kind) and not (optional and value is None):
        raise _wrong(name, value, f"{kind.__name__}(...){_or_none(optional)}")


def mapping(name: str, value: Any, *, optional: bool = False) -> None:
    if not isinstance(value, Mapping) and not (optional and value is None):
        raise _wrong(name, value, "a dict" + _or_none(optional))


def require(condition: bool, message: str) -> None:
    """What a check of one argument cannot say: how several go together."""
    if not condition:
        raise SpecError(message)


def function(
    name: str,
    value: Any,
    *,
    optional: bool = False,
    takes: int | None = None,
    named: Collection[str] = (),
    awaited: bool = False,
    instead: str = _INSTEAD,
) -> None:
    """Something to call, with `takes` arguments, and `named` ones, where that can be told.

    No asynchronous function, unless its results are awaited: `instead` says what to do. An asynchronous generator never.
    """
    if optional and value is None:
        return
    if not callable(value):
        raise _wrong(name, value, "a function" + _or_none(optional))
    if is_asynchronous(value) and not (awaited and gives_coroutine(value)):
        raise SpecError(f"{name} must be a plain function, and {show_value(value)} is asynchronous{_nobody_awaits(instead)}")
    if takes is not None and not can_take(value, takes, named):
        raise SpecError(
            f"{name} is called with {plural(takes, 'argument')}, which {show_value(value)} does not take; "
            "functools.partial gives a function more, and a lambda leaves some out"
        )


def can_take(value: Any, arguments: int, named: Collection[str] = ()) -> bool:
    """Whether it can be called with so many arguments by position. True wherever that is not certain.

    Certain is what Python's own functions declare, classes and objects by theirs. What a decorator says of another function
    (`__wrapped__`, `__signature__`) need not be so, and builtins and metaclasses may do as they like.
    """
    if isinstance(value, type):
        if type(value).__call__ is not type.__call__:
            return True
        kind: Any = value
        if kind.__new__ is not object.__new__:
            return _declares(kind.__new__, arguments + 1, named)
        return _declares(kind.__init__, arguments + 1, named) if kind.__init__ is not object.__init__ else arguments == 0
    if isinstance(value, FunctionType | MethodType | partial):
        return _declares(value, arguments, named)
    return _declares(type(value).__call__, arguments + 1, named)


def _declares(function: Any, arguments: int, named: Collection[str]) -> bool:
    inner = function
    while isinstance(inner, partial | MethodType):
        inner = inner.func if isinstance(inner, partial) else inner.__func__
    if not isinstance(inner, FunctionType) or hasattr(function, "__signature__") or hasattr(inner, "__signature__"):
        return True
    try:
        signature(function, follow_wrapped=False).bind(*[None] * arguments, **dict.fromkeys(named))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def is_asynchronous(function: Any) -> bool:
    """Whether what it returns has to be awaited, or iterated over asynchronously. Functions within objects are theirs to call."""
    methods = (function, getattr(type(function), "__call__", None), getattr(function, "run", None))  # noqa: B004 - not to see if it can
    return any(iscoroutinefunction(method) or isasyncgenfunction(method) for method in methods)


def gives_coroutine(function: Any) -> bool:
    """Whether it is an asynchronous function whose result is to be awaited."""
    return any(iscoroutinefunction(method) for method in (function, getattr(type(function), "__call__", None)))  # noqa: B004 - as above


def refuse_coroutine(name: str, *results: Any, instead: str = _INSTEAD) -> None:
    """For what functions returned that looked plain, as a lambda does that calls an asynchronous one."""
    refused = ""
    for result in results:
        if isinstance(result, CoroutineType):
            result.close()  # or Python warns that nobody awaited it
            refused = "a coroutine"
        elif isinstance(result, AsyncGeneratorType):
            refused = refused or "an asynchronous generator"
    if refused:
        raise SpecError(f"the function of {name} returned {refused}{_nobody_awaits(instead)}")


def _nobody_awaits(instead: str) -> str:
    return f", which nothing here awaits: {instead}"


def is_true(name: str, result: Any) -> bool:
    """What a function answered that is asked yes or no; a coroutine would be yes."""
    if result is not True:
        refuse_coroutine(name, result)
    return bool(result)


def _wrong(name: str, value: Any, wanted: str) -> SpecError:
    return SpecError(f"{name} must be {wanted}, not {show_value(value)}")


def _bounds(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f" of at most {most}"
    return f" of at least {least}" if most is None else f" between {least} and {most}"


def _or_none(optional: bool) -> str:
    return " or None" if optional else ""


def whole_fields(settings: Any, least: int, *names: str) -> None:
    """The same for fields of a dataclass, frozen or not, which have Python's numbers then."""
    for name in names:
        number = whole(f"{type(settings).__name__}: {name}", getattr(settings, name), least)
        object.__setattr__(settings, name, number)


def flags(settings: Any, *names: str) -> None:
    for name in names:
        flag(f"{type(settings).__name__}: {name}", getattr(settings, name))


def texts(settings: Any, *names: str) -> None:
    """Fields that are text or None."""
    for name in names:
        text(f"{type(settings).__name__}: {name}", getattr(settings, name), optional=True)
