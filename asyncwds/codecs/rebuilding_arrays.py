"""NumPy's part of `rebuilding`. NumPy trusts the state of a dtype: one with a wrong size, or with objects where there are numbers,
reads and writes any memory. So a state is taken only if NumPy itself would have written it.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any, NamedTuple

import numpy as np

from asyncwds.codecs.undecodable import refuse

_SPEC = re.compile(r"[biufcSUVOmM?]\d{1,9}|\?")
_ALIGNED = 0x80  # the flag of a dtype whose fields are aligned
_READABLE = (bytes, bytearray)


class _State(NamedTuple):
    """Of a dtype, without the version in front."""

    order: Any
    base: Any
    names: Any
    fields: Any
    size: Any
    alignment: Any
    flags: Any
    unit: Any = None


class Arrays:
    """Arrays and dtypes of one pickle: their state is set once, before they are part of anything else."""

    def __init__(self) -> None:
        # By id, and held so that an id stays theirs.
        self._unset: dict[int, Any] = {}
        self._dtypes: dict[int, Any] = {}

    def find(self, module: str, name: str) -> Any:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return np.ndarray if name == "ndarray" else self._dtype
        if module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return {"_reconstruct": self._reconstruct, "scalar": self._scalar}.get(name)
        if module in ("numpy.core.numeric", "numpy._core.numeric"):
            return self._from_buffer if name == "_frombuffer" else None
        kind = getattr(np, name, None) if module == "numpy" and name.isidentifier() else None
        return kind if isinstance(kind, type) and issubclass(kind, np.generic) else None

    def has_state(self, value: Any) -> bool:
        return isinstance(value, (np.dtype, np.ndarray))

    def set_state(self, value: Any, state: Any) -> None:
        if self._unset.pop(id(value), None) is None or not isinstance(state, tuple):
            refuse(f"a second state of {type(value).__name__}")
        if isinstance(value, np.ndarray):
            self._fill(value, state)
        else:
            value.__setstate__(self._sound(value, state).__reduce__()[2])
            self._dtypes[id(value)] = value

    def _dtype(self, spec: Any, align: bool = False, copy: bool = True) -> Any:  # noqa: ARG002 - as NumPy writes it
        if not isinstance(spec, str) or not _SPEC.fullmatch(spec):
            refuse("a numpy.dtype that NumPy does not write")
        dtype = np.dtype(spec, copy=True)
        self._unset[id(dtype)] = dtype
        return dtype

    def _sound(self, dtype: Any, state: tuple[Any, ...]) -> Any:
        """The dtype that this state is of."""
        spec = dtype.__reduce__()[1][0]
        try:
            sound = self._build_dtype(spec, _State(*state[1:]))
        except (TypeError, ValueError, KeyError, AttributeError) as cause:
            raise ValueError(f"the state of a numpy.dtype makes no sense: {cause}") from cause
        _, args, written = sound.__reduce__()
        if args[0] != spec or written[:8] != state[:8]:
            refuse("the state of a numpy.dtype that NumPy does not write")
        return sound

    def _build_dtype(self, spec: str, state: _State) -> Any:
        dtype: Any = np.dtype  # of values whose types are not known
        if state.base is not None:
            return dtype((self._sure(state.base[0]), state.base[1]))
        if state.names is not None:
            formats = [self._sure(state.fields[name][0]) for name in state.names]
            offsets = [state.fields[name][1] for name in state.names]
            layout = {"names": list(state.names), "formats": formats, "offsets": offsets, "itemsize": state.size}
            return dtype(layout, align=bool(state.flags & _ALIGNED))
        if state.unit is not None:
            kind, count = state.unit[1][0].decode("ascii"), state.unit[1][1]
            spec = spec if kind == "generic" else f"{spec}[{count:d}{kind}]"
        return dtype(spec).newbyteorder(state.order)

    def _sure(self, dtype: Any) -> Any:
        """A dtype whose state has been set."""
        if self._dtypes.get(id(dtype)) is not dtype:
            refuse("a numpy.dtype without a state")
        return dtype

    def _reconstruct(self, kind: Any, shape: Any, code: Any) -> Any:
        if kind is not np.ndarray or shape != (0,) or code not in (b"b", "b"):
            refuse("an array of a class of its own")
        array = np.ndarray((0,), "b")
        self._unset[id(array)] = array
        return array

    def _fill(self, array: Any, state: tuple[Any, ...]) -> None:
        version, shape, dtype, in_columns, content = state
        self._sure(dtype)
        size = _size(shape)
        holds = isinstance(content, list) and len(content) == size
        if not holds if dtype.hasobject else not isinstance(content, _READABLE) or len(content) != size * dtype.itemsize:
            raise ValueError(f"an array of shape {shape} and {dtype} does not fit its content")
        array.__setstate__((version, shape, dtype, bool(in_columns), content if holds else bytes(content)))

    def _scalar(self, dtype: Any, content: Any = None) -> Any:
        if self._sure(dtype).hasobject or not isinstance(content, _READABLE) or len(content) != dtype.itemsize:
            refuse("a number of NumPy that NumPy does not write")
        made: Any = np.float64(0).__reduce__()[0]
        return made(dtype, bytes(content))

    def _from_buffer(self, content: Any, dtype: Any, shape: Any, order: str, axes: Any = None) -> Any:
        if not isinstance(content, _READABLE) or _size(shape) * self._sure(dtype).itemsize != len(content):
            raise ValueError(f"an array of shape {shape} and {dtype} does not fit its content")
        if not len(content):
            return np.empty(shape, dtype, order="F" if order == "F" else "C")
        flat = np.frombuffer(content, dtype)
        return (
            flat.reshape(shape, order="C").transpose(axes)
            if axes is not None
            else flat.reshape(shape, order="F" if order == "F" else "C")
        )


def _size(shape: Any) -> int:
    """The number of elements. A shape with more than 2^40 of them is an error, as they may all be empty."""
    if (
        not isinstance(shape, tuple)
        or not all(isinstance(length, int) and length >= 0 for length in shape)
        or prod(shape) > 1 << 40
    ):
        raise ValueError(f"no shape of an array: {shape!r}")
    return prod(shape)
