"""How urls are opened: what users give as `http=`, `retry=` and `storage=`, in one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from asyncwds.settings.http import Http
from asyncwds.settings.retry import Retry


class Settings(Protocol):
    """Settings of a store: `S3`, `GCS`, `Azure`, `HuggingFace`, `AIStore`, `FileSystem`, `Command`, another package's dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


Storage = Mapping[str, Settings]
"""URL prefix → settings for the urls that begin with it; the longest one counts."""


@dataclass(frozen=True, slots=True)
class Access:
    """How urls are opened, for reading, writing and listing."""

    http: Http = field(default_factory=Http)
    retry: Retry = field(default_factory=Retry)
    storage: Storage = field(default_factory=dict)
