"""Functions, or stages, one after the other as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from asyncwds.pipeline.adapt import adapt
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.protocol import Stream
from asyncwds.runtime.worker_info import make_seed


@dataclass(frozen=True, slots=True)
class Composed:
    """Functions one after the other, the first one first. Of stages, it is a stage."""

    functions: tuple[Callable[[Any], Any], ...]

    def __call__(self, value: Any) -> Any:
        for function in self.functions:
            value = function(value)
        return value

    def open(self, source: Stream, context: RunContext) -> Stream:
        """Each random stage in it draws its own numbers."""
        for number, stage in enumerate(self.functions):
            own = replace(context, seed=make_seed(context.seed, "composed", number))
            source = adapt(stage).open(source, own)
        return source


def identity(value: Any) -> Any:
    return value


def compose2(f: Callable[[Any], Any], g: Callable[[Any], Any]) -> Composed:
    """The function x → g(f(x)), picklable if both are."""
    return Composed((f, g))


def compose(*functions: Callable[[Any], Any]) -> Composed:
    """The functions from left to right as one, picklable if all are."""
    return Composed(functions)


def pipeline(source: Any, *functions: Callable[[Any], Any]) -> Any:
    """The source, passed through the functions (stages, as a rule) from left to right."""
    return Composed(functions)(source)
