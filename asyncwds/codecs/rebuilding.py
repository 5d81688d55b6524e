"""What a pickle may find by name, what that may be called with, and whose state may be set.

Classes of the standard library stand for themselves, but are called only as their own pickles call them: `list(range(10**10))`
would take all memory, and `Fraction("1e999999999")` all time. Functions are replaced by functions of this package.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import pathlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import NoneType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asyncwds.codecs.undecodable import refuse

if TYPE_CHECKING:
    from asyncwds.codecs.rebuilding_arrays import Arrays


def _zone(key: str, _: bool = True) -> Any:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - reads files when it is imported

    return ZoneInfo(key)


def _encode_text(text: Any, encoding: Any) -> bytes:
    """How old pickles write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        refuse(f"_codecs.encode({encoding})")
    return text.encode("latin1")


def _type_of(value: Any) -> Any:
    """How pickles write the types of the three values that have no name for their type."""
    if value is not None and value is not ... and value is not NotImplemented:
        refuse("type()")
    return type(value)


def _fraction(numerator: Any, denominator: Any = 1) -> Fraction:
    if isinstance(numerator, str):
        above, _, below = numerator.partition("/")
        numerator, denominator = int(above), int(below or 1)
    if not isinstance(numerator, int) or not isinstance(denominator, int):
        refuse("Fraction of other than integers")
    return Fraction(numerator, denominator)


# What each class is called with in its own pickles. An empty tuple: with nothing.
_TIME = (int, str, bytes, dt.tzinfo, dt.timedelta)
_CALLED_WITH: dict[Any, tuple[type, ...]] = {
    **dict.fromkeys((set, frozenset), (list, tuple, set, frozenset)),
    **dict.fromkeys((object, SimpleNamespace), ()),
    **dict.fromkeys((dt.date, dt.time, dt.datetime, dt.timedelta, dt.timezone), _TIME),
    **dict.fromkeys((pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath), (str,)),
    **dict.fromkeys((ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv4Interface), (str, int)),
    **dict.fromkeys((ipaddress.IPv6Address, ipaddress.IPv6Network, ipaddress.IPv6Interface), (str, int)),
    complex: (int, float),
    range: (int,),
    slice: (object,),
    bytes: (bytes,),
    bytearray: (bytes, str),
    Decimal: (str,),
    OrderedDict: (list, tuple, dict),
    Counter: (dict,),
    deque: (list, tuple, int, NoneType),
    defaultdict: (type, NoneType, dict),
}
_ONLY_NAMED = (int, float, str, bool, list, dict, tuple, UUID, Fraction)
_STATEFUL = frozenset({UUID, SimpleNamespace, OrderedDict, Counter, defaultdict})
_FUNCTIONS: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode_text,
    ("builtins", "type"): _type_of,
    ("zoneinfo", "ZoneInfo"): _zone,
}
_VALUES = {("builtins", "Ellipsis"): ..., ("builtins", "NotImplemented"): NotImplemented}
# The names of Python 2, in which protocols 0 to 2 are written, and of 3.13.
_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "pathlib._local": "pathlib"}
_NAMES = {("builtins", "xrange"): ("builtins", "range"), ("builtins", "long"): ("builtins", "int")}
_PLAIN_NAMES: dict[tuple[str, str], Any] = {
    **_FUNCTIONS,
    **_VALUES,
    **{(_MODULES.get(kind.__module__, kind.__module__), kind.__qualname__): kind for kind in (*_CALLED_WITH, *_ONLY_NAMED)},
}
_BASES = (object, int, float, str, bytes, list, dict, tuple, set, frozenset)


class Rebuilding:
    """The rules for one pickle. `admitted` are classes and functions that it may use as it likes."""

    def __init__(self, admitted: Iterable[Callable[..., Any]] = ()) -> None:
        self._admitted = {(thing.__module__, thing.__qualname__): thing for thing in admitted}
        self._trusted = frozenset(self._admitted.values())
        self._own = {("copyreg", "_reconstructor"): self._reconstruct, ("builtins", "getattr"): self._member}
        self._functions: list[Any] = [*_FUNCTIONS.values(), *self._own.values()]
        self._arrays: Arrays | None = None

    def find(self, module: str, name: str) -> Any:
        place = (_MODULES.get(module, module), name)
        place = _NAMES.get(place, place)
        for named in (self._admitted, _PLAIN_NAMES, self._own):
            if place in named:
                return named[place]
        if (module, name) in self._admitted:
            return self._admitted[module, name]
        return self._find_in_library(module, name)

    def call(self, f: Any, args: Any) -> Any:
        if any(f is function for function in self._functions) or self._is_trusted(f):
            return f(*args)
        if f is Fraction:
            return _fraction(*args)
        types = _CALLED_WITH.get(f) if isinstance(f, type) else None
        if types is None or not isinstance(args, tuple) or not all(isinstance(arg, types) for arg in args):
            refuse(f"a call of {_name(f)}")
        return f(*args)

    def new(self, kind: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if not isinstance(kind, type) or not (self._is_trusted(kind) or (kind is UUID and not args and not keywords)):
            refuse(f"an object of {_name(kind)}")
        return kind.__new__(kind, *args, **keywords)

    def set_state(self, value: Any, state: Any) -> None:
        if self._arrays is not None and self._arrays.has_state(value):
            self._arrays.set_state(value, state)
        elif type(value) not in _STATEFUL and type(value) not in self._trusted:
            refuse(f"a state of {_name(type(value))}")
        elif (set_state := getattr(value, "__setstate__", None)) is not None:
            set_state(state)
        else:
            _set_attributes(value, state)

    def _is_trusted(self, f: Any) -> bool:
        return any(f is trusted for trusted in self._trusted)

    def _find_in_library(self, module: str, name: str) -> Any:
        """In NumPy or torch, which are imported for that: a pickle may only come to them by one of their names."""
        library = module.partition(".")[0]
        if library == "numpy":
            if self._arrays is None:
                from asyncwds.codecs.rebuilding_arrays import Arrays  # noqa: PLC0415 - heavy

                self._arrays = Arrays()
            found = self._arrays.find(module, name)
        elif library == "torch":
            from asyncwds.codecs.rebuilding_tensors import find  # noqa: PLC0415 - as above

            found = find(module, name)
        else:
            found = None
        if found is None:
            refuse(f"{module}.{name}")
        if not isinstance(found, type) and callable(found):
            self._functions.append(found)
        return found

    def _reconstruct(self, kind: Any, base: Any, state: Any) -> Any:
        """How protocols 0 and 1 make an object of a class."""
        if not isinstance(kind, type) or not (self._is_trusted(kind) or kind is UUID) or base not in _BASES:
            refuse(f"an object of {_name(kind)}")
        if base is object:
            return object.__new__(kind)
        if type(state) is not base:
            refuse(f"an object of {_name(kind)}")
        made = base.__new__(kind, state)
        if base.__init__ is not object.__init__:
            base.__init__(made, state)
        return made

    def _member(self, kind: Any, name: str) -> Any:
        """How Python 3.11 writes members of enumerations, and how time zones are written: by `getattr`, which does nothing else."""
        if kind is _zone and name == "_unpickle":
            return _zone
        if not self._is_trusted(kind) or not isinstance(kind, type) or not issubclass(kind, Enum):
            refuse("getattr")
        return kind[name]


def _set_attributes(value: Any, state: Any) -> None:
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if attributes:
        value.__dict__.update(attributes)
    for name, content in (slots or {}).items():
        if name.startswith("__"):
            refuse(f"a state with {name}")
        setattr(value, name, content)


def _name(thing: Any) -> str:
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"
