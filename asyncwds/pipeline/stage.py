"""What users make stages of, beside functions from an iterator to an iterator.

A function `f(samples)` is a stage as it is; `pipelinefilter` makes one of a function that takes more arguments, and
`PipelineStage` is the base of WebDataset's classes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar

from asyncwds import checks

F = TypeVar("F", bound=Callable[..., Any])


class PipelineStage:
    """Base of stages that are classes, as WebDataset has them: a subclass defines `run(src)`, from iterator to iterator."""

    def run(self, src: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no run(src)")

    def invoke(self, *args: Any, **options: Any) -> Any:
        return self.run(*args, **options)

    def __call__(self, source: Any) -> Any:
        return self.run(source)


class FilterFunction:
    """A stage `f(data, *args, **kw)` that waits for its data. Equal where the parts are; as picklable as they are."""

    def __init__(self, f: Callable[..., Any], *args: Any, **kw: Any) -> None:
        self.f = f
        self.args = args
        self.kw = kw

    def __call__(self, data: Any) -> Any:
        return self.f(data, *self.args, **self.kw)

    def __repr__(self) -> str:
        return f"<{getattr(self.f, '__name__', self.f)} {self.args} {self.kw}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FilterFunction) and (self.f, self.args, self.kw) == (other.f, other.args, other.kw)

    __hash__ = None  # type: ignore[assignment] # the arguments may change

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (_named(self.f) or self.f, self.args, self.kw)


class RestCurried:
    """A function of data and arguments that is called with the arguments first, and then with the data."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f
        update_wrapper(self, f, updated=())  # a class would put its methods in the way of ours

    def __call__(self, *args: Any, **kw: Any) -> FilterFunction:
        return FilterFunction(self.f, *args, **kw)

    def __reduce__(self) -> str | tuple[Any, ...]:
        # As a decorator it takes the function's name, and the function can only be pickled by way of it.
        return str(self.f.__qualname__) if _named(self.f) is self else (RestCurried, (self.f,))


def pipelinefilter(f: Callable[..., Any]) -> RestCurried:
    """Makes a stage of a function whose first argument is the iterator: `pipelinefilter(f)(*a, **kw)(data)` is `f(data, *a, **kw)`.

    @wds.pipelinefilter
    def every(samples, n): yield from itertools.islice(samples, 0, None, n)

    wds.WebDataset(...).compose(every(10))
    """
    checks.function("pipelinefilter", f)
    return RestCurried(f)


def stateless(f: F) -> F:
    """Marks a stage, a function from an iterator to an iterator, as one that keeps nothing between two items.

    What it gives must depend on nothing but the item that it took last, and be one item at most: no counts, no items seen before,
    none held back, no random numbers. Then a dataset with it can be resumed in the middle of an epoch without reading that again.
    """
    marked: Any = f.f if isinstance(f, RestCurried) else f
    marked.stateless = True
    return f


def is_stateless(stage: Any) -> bool:
    return bool(getattr(getattr(stage, "f", stage), "stateless", False))


def _named(f: Callable[..., Any]) -> RestCurried | None:
    """What stands in f's module under f's name, if that is f curried."""
    found: Any = sys.modules.get(getattr(f, "__module__", None) or "")
    for name in getattr(f, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, RestCurried) and found.f is f else None


def _restored(f: Callable[..., Any], args: tuple[Any, ...], kw: dict[str, Any]) -> FilterFunction:
    return FilterFunction(f.f if isinstance(f, RestCurried) else f, *args, **kw)
