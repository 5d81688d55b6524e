"""The stage that gives fields new names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from asyncwds import checks
from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.context import RunContext
from asyncwds.pipeline.protocol import Stream
from asyncwds.pipeline.stage_run import open_each, run_alone
from asyncwds.pipeline.stages.field_names import Names, alternatives, getfirst, is_field, require_dict
from asyncwds.runtime.handlers import Handler, reraise_exception


@dataclass(frozen=True, slots=True)
class Rename:
    """Gives fields new names: the first of the old names that a sample has. `keep` passes on the fields that are not named."""

    one_to_one: ClassVar[bool] = True
    passes_marks: ClassVar[bool] = True
    fields: tuple[tuple[str, Names], ...]
    keep: bool = True
    handler: Handler = reraise_exception

    def __post_init__(self) -> None:
        checks.function("rename: handler", self.handler, takes=1)
        checks.flags(self, "keep")

    def __call__(self, source: Iterable[Any]) -> Iterator[Any]:
        return run_alone(self, source)

    def open(self, source: Stream, context: RunContext) -> Stream:
        old_names = {name for _, names in self.fields for name in names}

        def renamed(sample: Any) -> Any:
            if not isinstance(sample, dict):
                require_dict(sample, "rename")
            fields = {new: sample[names[0]] if names[0] in sample else getfirst(sample, names) for new, names in self.fields}
            return _replaced(sample, old_names, fields) if self.keep else fields

        return open_each(renamed, source, context, "rename", self.handler)


def rename(handler: Handler = reraise_exception, keep: bool = True, **fields: str | Sequence[str]) -> Rename:
    """`rename(image="jpg;png")`: the new name, and the old ones to look for. A sample that has none of them is a SampleError."""
    for old in fields.values():
        if not is_field(old):
            raise SpecError(f"rename takes names of fields, not {show_value(old)}")
    return Rename(tuple([(new, alternatives(old)) for new, old in fields.items()]), keep, handler)


def _replaced(sample: Any, old_names: set[str], renamed: dict[str, Any]) -> Any:
    result = sample.copy()
    for name in old_names:
        result.pop(name, None)
    result.update(renamed)
    return result
