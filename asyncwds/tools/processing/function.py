"""A Python function, a coroutine function or one for batches, called for samples."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from asyncwds.errors import SampleError, SpecError
from asyncwds.runtime.security import secure_mode
from asyncwds.tar.raw import RawSample

Plain = dict[str, Any]
"""A sample as functions get it: `__key__`, `__url__`, and the bytes of each field."""
Result = list[Plain] | SampleError
"""What a sample became, or why that failed."""


@dataclass(frozen=True)
class Call:
    """Calls the function that `name` names; to be sent to a process.

    name      module:function, or file.py:function
    batched   it is called once with all samples, and returns what each became
    device    what it gets as its argument `device`, if it has one
    """

    name: str
    batched: bool = False
    device: str | None = None

    def __call__(self, samples: Sequence[Plain]) -> list[Result]:
        """Of each sample what it became. Raises SpecError where there is no such function."""
        function = load_function(self.name)
        options = {"device": self.device} if "device" in inspect.signature(function).parameters else {}
        if self.batched:
            return _call_batch(function, samples, options)
        if inspect.iscoroutinefunction(function):
            return asyncio.run(_call_at_once(function, samples, options))
        return [_call_one(function, sample, options) for sample in samples]


class Condition:
    """A function, named as for `Call`, that says of a sample whether it is wanted. Raises SpecError where there is none."""

    def __init__(self, name: str) -> None:
        self._function = load_function(name)
        if inspect.iscoroutinefunction(self._function):
            raise SpecError(f"{name} is a coroutine function, and a condition is called and returns True or False")

    def is_true(self, sample: RawSample) -> bool:
        """Raises SampleError for what it raises, and where it returns neither True nor False."""
        try:
            answer = self._function(as_plain(sample))
        except Exception as error:
            message = f"the function raised {type(error).__name__}: {error}"
            raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key) from error
        if type(answer).__name__ not in ("bool", "bool_"):  # numpy has one of its own
            message = f"the function returned {type(answer).__name__}, not True or False"
            raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
        return bool(answer)


def as_plain(sample: RawSample) -> Plain:
    fields = {name: member.read() for name, member in sample.fields().items()}
    return {"__key__": sample.key, "__url__": sample.url, **fields}


def load_function(name: str) -> Callable[..., Any]:
    """Raises SpecError where there is none."""
    if secure_mode():
        raise SpecError("functions named on a command line are refused, because WDS_SECURE is set")
    where, colon, what = name.rpartition(":")
    if not colon or not where or not what:
        raise SpecError(f"a function is named module:function or file.py:function, not {name!r}")
    path = Path(where)
    is_file = path.suffix == ".py"
    folder = str(path.parent.resolve() if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = _import_file(path.resolve()) if is_file else import_module(where)
        for part in what.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the user's module raises
        kind = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise SpecError(f"{name} cannot be imported: {kind}{error}") from error
    if not callable(found):
        raise SpecError(f"{name} is no function, but {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


def _import_file(path: Path) -> ModuleType:
    """That file, also where a module of its name is known already: `select.py`, or one of another folder."""
    known = sys.modules.get(path.stem)
    if known is None and path.stem.isidentifier() and path.stem not in sys.stdlib_module_names:
        known = import_module(path.stem)
    if known is not None and Path(getattr(known, "__file__", None) or "").resolve() == path:
        return known
    name = f"{path.stem}_{blake2b(str(path).encode(errors='surrogateescape'), digest_size=8).hexdigest()}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        assert spec is not None  # its suffix is known
        assert spec.loader is not None
        module = sys.modules[name] = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


async def _call_at_once(function: Callable[..., Any], samples: Sequence[Plain], options: Mapping[str, Any]) -> list[Result]:
    outcomes = await asyncio.gather(*[function(dict(sample), **options) for sample in samples], return_exceptions=True)
    return [_result(sample, outcome) for sample, outcome in zip(samples, outcomes, strict=True)]


def _call_one(function: Callable[..., Any], sample: Plain, options: Mapping[str, Any]) -> Result:
    try:
        return _result(sample, function(dict(sample), **options))
    except Exception as error:  # noqa: BLE001 - a function of the user's
        return _result(sample, error)


def _call_batch(function: Callable[..., Any], samples: Sequence[Plain], options: Mapping[str, Any]) -> list[Result]:
    try:
        made = function([dict(sample) for sample in samples], **options)
        results = list(asyncio.run(_awaited(made)) if inspect.isawaitable(made) else made)
    except Exception as error:  # noqa: BLE001 - a function of the user's
        return [_result(sample, error) for sample in samples]
    if len(results) != len(samples):
        raise SpecError(f"the function took {len(samples)} samples and returned {len(results)} results: one for each is wanted")
    return [_result(sample, result) for sample, result in zip(samples, results, strict=True)]


async def _awaited(made: Any) -> Any:
    return await made


def _result(sample: Plain, outcome: Any) -> Result:
    """None is no sample, a dict one, and an iterable of dicts several; or an error."""
    if isinstance(outcome, BaseException):
        return SampleError(f"the function raised {type(outcome).__name__}: {outcome}", key=sample["__key__"])
    if outcome is None:
        return []
    several = outcome if isinstance(outcome, Iterable) and not isinstance(outcome, Mapping) else [outcome]
    made = list(several)
    wrong = next((one for one in made if not isinstance(one, Mapping)), None)
    if wrong is not None:
        return SampleError(f"the function returned {type(wrong).__name__}, not a sample or several", key=sample["__key__"])
    return [{"__key__": sample["__key__"], **one} for one in made]
