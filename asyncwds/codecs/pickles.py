"""Pickles that run no code: plain data, arrays, tensors, and the classes that the reader names.

A pickle is a program. Three of its instructions reach beyond plain data: one finds an object by name, one calls it, and one
gives an object a state. Here each of them goes by `Rebuilding`, which knows what may be found, what that may be called with,
and whose state may be set.

A pickle that finds nothing by name is left to C, which takes a tenth of the time. The others go through Python's own machine for
pickles, since that of C can be kept from finding objects, but not from writing to the attributes of a class that it has found.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, ClassVar, NoReturn

from asyncwds.codecs.rebuilding import Rebuilding
from asyncwds.codecs.undecodable import refuse
from asyncwds.samples import Sample

# Instructions of fixed length that make plain data, as many as there are. C has a table of what is put into the memo, as long as
# the largest number that an instruction says: here no more than 2^20.
_PLAIN = re.compile(
    rb"""(?: [(012Nael\]}dsu)t\x85-\x89\x8f-\x91\x94]        # marks, None, booleans, containers
           | [Khq\x80]. | M.. | [Jj].{4} | [G\x95].{8}  # numbers, the memo, frames
           | r..[\x00-\x0f]\x00 )*+""",
    re.DOTALL | re.VERBOSE,
)
# Those that are followed by a size of so many bytes, and by as many bytes as it says: text, bytes, large integers.
_SIZED = {0x8C: 1, 0x58: 4, 0x8D: 8, 0x43: 1, 0x42: 4, 0x8E: 8, 0x96: 8, 0x8A: 1, 0x8B: 4}
_STOP = pickle.STOP[0]


def unpickle(data: bytes, admitted: Iterable[Callable[..., Any]] = ()) -> Any:
    """The object in a pickle, whose classes and functions are plain data's or among those admitted. DecodeError for others."""
    return (_Plain(BytesIO(data)) if is_plain(data) else _Careful(data, Rebuilding((Sample, *admitted)))).load()


def is_plain(data: bytes) -> bool:
    """Whether all instructions up to the end only make numbers, text, bytes and containers."""
    position = 0
    while (run := _PLAIN.match(data, position)) and (position := run.end()) < len(data):
        width = _SIZED.get(data[position])
        if width is None:
            return data[position] == _STOP
        position += 1 + width
        position += int.from_bytes(data[position - width : position], "little")
    return False


class _Plain(pickle.Unpickler):
    """For what `is_plain`: so that not even a mistake there could find anything."""

    def find_class(self, module: str, name: str) -> NoReturn:
        refuse(f"{module}.{name}")


_Machine: Any = pickle._Unpickler  # noqa: SLF001 - the one in Python; see above


class _Careful(_Machine):  # type: ignore[misc]
    """Each method replaces an instruction by what the rules say; the machine's stack and names are the standard library's."""

    dispatch: ClassVar[dict[int, Any]] = dict(_Machine.dispatch)

    def __init__(self, data: bytes, rules: Rebuilding) -> None:
        super().__init__(BytesIO(data))
        self._rules = rules

    def find_class(self, module: str, name: str) -> Any:
        return self._rules.find(module, name)

    def get_extension(self, code: int) -> NoReturn:
        refuse(f"extension {code}")

    def _instantiate(self, cls: Any, args: list[Any]) -> None:
        self.append(self._rules.call(cls, tuple(args)))

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._rules.call(self.stack[-1], args)

    def load_newobj(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._rules.new(self.stack[-1], args, {})

    def load_newobj_ex(self) -> None:
        keywords, args = self.stack.pop(), self.stack.pop()
        self.stack[-1] = self._rules.new(self.stack[-1], args, keywords)

    def load_build(self) -> None:
        state = self.stack.pop()
        self._rules.set_state(self.stack[-1], state)

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build
