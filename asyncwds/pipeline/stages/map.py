"""The stage that applies a function to each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from asyncwds import checks
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage_run import StageRun, function_name, open_loop, run_alone
from asyncwds.runtime.handlers import Handler, reraise_exception


@dataclass(frozen=True, slots=True)
class Map:
    """Replaces each sample by `f(sample)`; None drops it."""

    f: Callable[[Any], Any]
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("map: f", self.f, takes=1)
        checks.function("map: handler", self.handler, takes=1)

    @property
    def one_to_one(self) -> bool:
        """Of most functions nobody knows for which samples they give None."""
        return getattr(self.f, "one_to_one", False)

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        return open_loop(self._mapped, source, context, f"map({function_name(self.f)})", self.handler)

    def _mapped(self, items: Iterator[Any], run: StageRun) -> Iterator[Any]:
        f = self.f
        for sample in items:
            run.item = sample
            try:
                result = f(sample)
            except Exception as error:  # noqa: BLE001 - user code; the handler decides
                if run.goes_on(error):
                    continue
                return
            if result is not None:
                yield result if result is sample else keyed(sample, result)


def keyed(sample: Any, result: Any) -> Any:
    """What `map` makes of a function's result: a dict made from a sample inherits its key, unless it has one."""
    if not isinstance(result, dict):
        checks.refuse_coroutine("map", result)
    elif isinstance(sample, dict) and "__key__" in sample:
        result.setdefault("__key__", sample["__key__"])
    return result


def map(f: Callable[[Any], Any], handler: Handler = reraise_exception) -> Map:  # noqa: A001 - WebDataset's name
    return Map(f, handler)
