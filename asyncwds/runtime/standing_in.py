"""Whether other people's `import webdataset` finds asyncwds in this process: see `asyncwds.compat.install`."""

from __future__ import annotations

import sys


def stands_in() -> bool:
    return getattr(sys.modules.get("webdataset"), "stands_for", None) == "asyncwds"
