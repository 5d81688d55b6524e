"""A sample that is to be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from asyncwds.errors import SampleError, SpecError

Content = Callable[[], Any] | bytes | str | int | float | list[Any] | dict[str, Any]
"""The value of a field, or what gives it."""


@dataclass(slots=True)
class Draft:
    """A sample that is to be written. What is called for a field is called only then.

    `origin` says where it came from, `group` which samples belong together, and `shared` are fields that all of them have.
    """

    key: str
    fields: dict[str, Content]
    origin: str
    group: str = ""
    shared: dict[str, Content] = field(default_factory=dict)

    def sample(self) -> dict[str, Any]:
        """Raises SampleError for what cannot be read."""
        sample: dict[str, Any] = {"__key__": self.key}
        for name, content in (self.fields | self.shared).items():
            sample[name] = self._read(name, content) if callable(content) else content
        return sample

    def _read(self, name: str, content: Callable[[], Any]) -> Any:
        try:
            return content()
        except SpecError:
            raise
        except (OSError, ValueError, EOFError) as error:
            raise SampleError(f"the field {name} of {self.origin} cannot be read: {error}", key=self.key) from error
