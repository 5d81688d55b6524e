"""WebDataset's secure mode, for processes that read shards they don't trust."""

from __future__ import annotations

import os


def secure_mode() -> bool:
    """Whether the environment has WDS_SECURE=1: no commands, no local files, no unpickling."""
    return os.environ.get("WDS_SECURE", "0") not in {"", "0"}
