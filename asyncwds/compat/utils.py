"""`webdataset.utils`. `enforce_security` may be set, and acts on the whole library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from functools import wraps
from glob import glob
from importlib import import_module
from typing import Any, TypeVar

from braceexpand import braceexpand

from asyncwds.compat.epochs import guess_batchsize, repeatedly, repeatedly0
from asyncwds.compat.flags import settable
from asyncwds.pipeline.stage import PipelineStage
from asyncwds.pipeline.stages.composition import identity
from asyncwds.runtime import security
from asyncwds.runtime.worker_info import current_worker_info, make_seed

__all__ = [
    "ObsoleteException",
    "PipelineStage",
    "compute_sample_weights",
    "deprecated",
    "enforce_security",
    "fnmatch_with_braces",
    "glob_with_braces",
    "guess_batchsize",
    "identity",
    "is_iterable",
    "lookup_sym",
    "make_seed",
    "obsolete",
    "pytorch_worker_info",
    "pytorch_worker_seed",
    "repeatedly",
    "repeatedly0",
    "safe_eval",
]

F = TypeVar("F", bound=Callable[..., Any])


def glob_with_braces(pattern: str) -> list[str]:
    """The files that the pattern matches, its braces expanded first."""
    return [path for expanded in braceexpand(pattern) for path in glob(expanded)]  # noqa: PTH207 - texts, as WebDataset


def fnmatch_with_braces(filename: str, pattern: str) -> bool:
    return any(fnmatch(filename, expanded) for expanded in braceexpand(pattern))


def is_iterable(obj: object) -> bool:
    """Whether it can be iterated and is neither text nor bytes."""
    return isinstance(obj, Iterable) and not isinstance(obj, (str, bytes))


def safe_eval(s: str, expr: str = "{}") -> Any:
    """The value of an expression with `s` put into it. ValueError unless that consists of ASCII letters, digits and underscores."""
    if not (s.replace("_", "a") or "a").isalnum() or not s.isascii():
        raise ValueError(f"safe_eval: illegal characters in {s!r}")
    return eval(expr.format(s))  # noqa: S307 - the expression is the caller's; `s` is a name or a number


def lookup_sym(sym: str, modules: Iterable[str]) -> Any:
    """What the first of the modules has that has anything under that name, else None. ".filters" is one of these modules here."""
    found = (getattr(import_module(name, __package__), sym, None) for name in modules)
    return next((value for value in found if value is not None), None)


def pytorch_worker_info(group: Any = None) -> tuple[int, int, int, int]:
    """(rank, world size, worker, number of workers)."""
    place = current_worker_info(group)
    return place.rank, place.world_size, place.worker, place.num_workers


def pytorch_worker_seed(group: Any = None) -> int:
    """A number that no other worker of any rank has: rank * 1000 + worker."""
    rank, _, worker, _ = pytorch_worker_info(group)
    return rank * 1000 + worker


class ObsoleteException(Exception):  # noqa: N818 - WebDataset's name
    """A function was called that is obsolete."""


def deprecated(arg: Any = None) -> Any:
    """Makes calls of a function a DeprecationWarning: `@deprecated`, or `@deprecated("why")`."""
    if not callable(arg):
        return lambda func: _announced(func, arg, _warn)
    return _announced(arg, None, _warn)


def obsolete(func: Any = None, *, reason: str | None = None) -> Any:
    """Makes calls of a function an ObsoleteException, unless $ALLOW_OBSOLETE=1: `@obsolete`, or `@obsolete(reason="why")`."""
    if func is None:
        return lambda func: _announced(func, reason, _refuse)
    return _announced(func, reason, _refuse)


def _announced(func: F, reason: str | None, announce: Callable[[str], None]) -> F:
    @wraps(func)
    def announced(*args: Any, **kwargs: Any) -> Any:
        announce(f"{func.__name__}" + ("" if reason is None else f": {reason}"))
        return func(*args, **kwargs)

    return announced  # type: ignore[return-value]


def _warn(what: str) -> None:
    warnings.warn(f"call of a deprecated function, {what}", DeprecationWarning, stacklevel=3)


def _refuse(what: str) -> None:
    if os.environ.get("ALLOW_OBSOLETE", "0") in {"", "0"}:
        raise ObsoleteException(f"call of an obsolete function, {what} (ALLOW_OBSOLETE=1 permits it)")


def compute_sample_weights(n_w_pairs: Sequence[tuple[float, float]]) -> Any:
    """(size, weight) of each data set → what to sample from each, the largest as 1."""
    import numpy as np  # noqa: PLC0415 - heavy

    products = np.array([number * weight for number, weight in n_w_pairs])
    return products / products.max()


enforce_security: bool

settable(
    __name__,
    enforce_security=property(
        lambda _: security.secure_mode(),
        lambda _, on: security.enforce_security(bool(on)),
        doc="The secure mode: no commands, no local files, no unpickling.",
    ),
)
