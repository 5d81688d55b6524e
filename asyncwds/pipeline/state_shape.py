"""What is where in a state: one that was changed by hand, or of which a part is missing, is an error before anything begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value

_MOST = 2**62
Check = Callable[[Any], bool]


def is_whole(value: Any) -> bool:
    return type(value) is int and -_MOST < value < _MOST


def is_count(value: Any) -> bool:
    return is_whole(value) and value >= 0


def _is_place(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 4 or not all(map(is_count, value)):
        return False
    rank, world_size, worker, workers = value
    return bool(rank < world_size and worker < workers)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is(*kinds: type) -> Check:
    return lambda value: isinstance(value, kinds)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list | tuple) and all(map(check, value))


_STATE: dict[str, Check] = {
    "seed": is_whole,
    "epoch": is_whole,
    "items": is_count,
    "worker_info": _or_none(_is_place),
    "description": _or_none(_is(Mapping)),
    "pass": _is(Mapping),
    "base": _or_none(_is(Mapping)),
}
_PASS: dict[str, Check] = {
    "number": is_count,
    "items": is_count,
    "skip": is_count,
    "stages": _or_none(_list_of(_or_none(_is(Mapping, list, tuple)))),
    "reason": _or_none(_is(str)),
    "kept": _or_none(_is(Mapping)),
    "tally": _or_none(_is(Mapping)),
}
_DESCRIPTION: dict[str, Check] = {
    "shards": _or_none(_is(Mapping)),
    "list": _or_none(_is(Mapping)),
    "stages": _list_of(_is(str)),
    "within": _list_of(_or_none(_is(Mapping))),
    "passes": _or_none(is_whole),
    "items": _or_none(is_whole),
}


def require_shape(state: Mapping[str, Any]) -> None:
    """Raises SpecError, which names the part, where one is nothing that can stand there; what is missing is not looked for."""
    _require(state, _STATE, "")
    _require(state.get("pass") or {}, _PASS, "pass.")
    _require_description(state.get("description") or {}, "description.")


def require_pass(value: Any) -> Mapping[str, Any]:
    """The same for that of one of several streams."""
    if not isinstance(value, Mapping):
        raise SpecError(f"the state is damaged: a pass is {show_value(value)}")
    _require(value, _PASS, "pass.")
    return value


def require_progress(value: Any) -> tuple[int, bool]:
    """How many items a stream has given, and whether it has ended."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not is_count(value[0]):
        raise SpecError(f"the state is damaged: a stream has given {show_value(value)}")
    return value[0], bool(value[1])


def _require_description(description: Mapping[str, Any], path: str) -> None:
    _require(description, _DESCRIPTION, path)
    for number, each in enumerate(description.get("within") or ()):
        _require_description(each or {}, f"{path}within.{number}.")


def _require(part: Mapping[str, Any], checks: Mapping[str, Check], path: str) -> None:
    for name, check in checks.items():
        if name in part and not check(part[name]):
            raise SpecError(f"the state is damaged: {path}{name} is {show_value(part[name])}")
