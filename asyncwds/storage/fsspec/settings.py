"""Settings of fsspec's file systems: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asyncwds import checks
from asyncwds.settings.credentials import pickle_without


@dataclass(frozen=True, slots=True)
class FileSystem:
    """How urls of any other scheme are read: with the fsspec file system of that name, in threads.

    options  arguments for it, besides what it takes from the url: `{"username": "me", "key_filename": "id"}` for `sftp://`
    threads  reads at a time
    """

    options: dict[str, Any] = field(default_factory=dict, repr=False)
    threads: int = 8

    def __post_init__(self) -> None:
        checks.whole("FileSystem: threads", self.threads, 1)
        checks.mapping("FileSystem: options", self.options)

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle_without(self, "options")
