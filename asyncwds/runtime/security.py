"""What shards may do that are not trusted: the one place that decides. WebDataset's flags, with its environment variables.

The environment holds the answers, and nothing else does: so worker processes follow what their parent was told, and
there is no state to share.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from asyncwds.errors import SpecError


def secure_mode() -> bool:
    """WDS_SECURE=1: no commands, no local files, no unpickling; with WDS_SCHEMES=https:s3 only those schemes. Off by default."""
    return os.environ.get("WDS_SECURE", "0") not in {"", "0"}


def enforce_security(on: bool = True, *, schemes: Iterable[str] | None = None) -> None:
    """Switches the secure mode for this process and those it starts (WebDataset: `utils.enforce_security = True`).

    With `schemes` urls of others than these are refused too, such as ("https", "s3").
    """
    os.environ["WDS_SECURE"] = "1" if on else "0"
    if schemes is not None:
        os.environ["WDS_SCHEMES"] = ":".join(schemes)


def why_refused(scheme: str) -> str | None:
    """Why urls of a scheme ("file" for local paths) may not be used, None if they may."""
    if not secure_mode():
        return None
    if scheme in ("file", "pipe"):
        return "WDS_SECURE is set"
    allowed = os.environ.get("WDS_SCHEMES")
    if allowed and not is_allowed_by_name(scheme):
        return f"WDS_SECURE is set, and WDS_SCHEMES allows only {allowed}"
    return None


def is_allowed_by_name(scheme: str) -> bool:
    """Whether WDS_SCHEMES names a scheme, as it must in secure mode for those that other packages add."""
    return scheme in os.environ.get("WDS_SCHEMES", "").lower().split(":")


def require_local(what: str, url: str) -> None:
    """Raises SpecError in secure mode, saying that `what` is refused."""
    if reason := why_refused("file"):
        raise SpecError(f"{what}, because {reason}", url=url)


def weights_only() -> bool:
    """Whether `.pth` fields may hold tensors and plain data only, no other objects. On, unless WDS_PYTORCH_WEIGHTS_ONLY=0."""
    return os.environ.get("WDS_PYTORCH_WEIGHTS_ONLY", "1") != "0"


def allow_only_weights(on: bool) -> None:
    """Sets `weights_only` for this process and those it starts (WebDataset: `autodecode.pytorch_weights_only = True`)."""
    os.environ["WDS_PYTORCH_WEIGHTS_ONLY"] = "1" if on else "0"


def any_pickle() -> bool:
    """WDS_ALLOW_PICKLE=1: fields that are pickles may hold any objects, and so run any code. Off by default."""
    return os.environ.get("WDS_ALLOW_PICKLE", "0") not in {"", "0"}
