"""What shards may do that are not trusted: the one place that decides. WebDataset's flags, with its environment variables.

The environment holds the answers, and nothing else does: so worker processes follow what their parent was told, and
there is no state to share.
"""

from __future__ import annotations

import os


def secure_mode() -> bool:
    """WDS_SECURE=1: no commands, no local files, no unpickling. Off by default."""
    return os.environ.get("WDS_SECURE", "0") not in {"", "0"}


def enforce_security(on: bool) -> None:
    """Switches the secure mode for this process and those it starts (WebDataset: `utils.enforce_security = True`)."""
    os.environ["WDS_SECURE"] = "1" if on else "0"


def weights_only() -> bool:
    """Whether `.pth` fields may hold tensors and plain data only, no other objects. On, unless WDS_PYTORCH_WEIGHTS_ONLY=0."""
    return os.environ.get("WDS_PYTORCH_WEIGHTS_ONLY", "1") != "0"


def allow_only_weights(on: bool) -> None:
    """Sets `weights_only` for this process and those it starts (WebDataset: `autodecode.pytorch_weights_only = True`)."""
    os.environ["WDS_PYTORCH_WEIGHTS_ONLY"] = "1" if on else "0"
