"""`gopen`: anything that has a url, as a file. `gopen_schemes` is the registry that datasets go by too.

`gopen_curl = f`, set in this module, opens with `f` what curl opens in WebDataset; so does each of the functions of schemes.
`gopen = f` opens all with `f`, but what datasets read of local files; `f` may call the `gopen` that was here before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from subprocess import PIPE
from typing import IO, Any

from asyncwds import checks
from asyncwds.compat.flags import settable
from asyncwds.engine.openers import OWN, gopen_schemes, open_file
from asyncwds.errors import SpecError, redact
from asyncwds.formatting.texts import printable
from asyncwds.runtime.security import secure_mode
from asyncwds.shards.urls import local_path
from asyncwds.shards.urls import rewritten as rewrite_url
from asyncwds.storage.callable_sources import Opener
from asyncwds.storage.local.command import Pipe
from asyncwds.storage.registry import EVERY

__all__ = [
    "PIPE",
    "Pipe",
    "gopen",
    "gopen_ais",
    "gopen_curl",
    "gopen_error",
    "gopen_file",
    "gopen_gsutil",
    "gopen_hf",
    "gopen_htgs",
    "gopen_pipe",
    "gopen_schemes",
    "info",
    "reader",
    "rewrite_url",
    "set_options",
]

SCHEMES = {
    "gopen_ais": ("ais",),
    "gopen_curl": ("https", "http", "sftp", "ftps", "scp"),
    "gopen_error": ("__default__",),
    "gopen_gsutil": ("gs",),
    "gopen_hf": ("hf",),
    "gopen_htgs": ("htgs",),
    "gopen_pipe": ("pipe",),
}

gopen_ais: Any
gopen_curl: Any
gopen_error: Any
gopen_gsutil: Any
gopen_hf: Any
gopen_htgs: Any
gopen_pipe: Any
info: dict[str, Any] = {}  # WebDataset's, which nothing uses


def gopen(url: str, mode: str = "rb", bufsize: int = 8192, **kw: Any) -> Any:
    """Opens a url for reading ("rb") or writing ("wb"), as a file object.

    Paths and `file:` are Python's files (buffered as $GOPEN_BUFFER says), `-` is standard input or output, and all else is
    opened by the function that `gopen_schemes` has for the scheme, which gets url, mode, bufsize and what else was given.
    Web servers and buckets are read with many requests in flight; `prefetch`, `retry`, `http` and `storage` are as for
    `WebDataset`. What is written to them is there when the file has been closed.

    Urls are rewritten as $GOPEN_REWRITE says; with $GOPEN_VERBOSE=1 each is written to stderr. Raises SpecError for another
    mode, for a scheme that nobody knows, and for local files in secure mode; the rest as the source does.
    """
    checks.text("gopen: url", url)
    if mode not in ("rb", "wb"):
        raise SpecError(f"gopen: the mode must be 'rb' or 'wb', not {mode!r}", url=url)
    checks.whole("gopen: bufsize", bufsize, -1)
    if os.environ.get("GOPEN_VERBOSE", "0") not in {"", "0"}:
        sys.stderr.write(f"GOPEN {printable(redact(url))}\n")
    if url == "-":
        return sys.stdin.buffer if mode == "rb" else sys.stdout.buffer
    return open_file(url, mode, bufsize, buffering=int(os.environ.get("GOPEN_BUFFER", "-1")), **kw)


def reader(url: str, **kw: Any) -> Any:
    """`gopen(url, "rb")`."""
    return current_gopen()(url, "rb", **kw)


def current_gopen() -> Opener:
    """`gopen`, or what was put in its place."""
    return gopen_schemes.get(EVERY, gopen)


def gopen_file(url: str, mode: str = "rb", bufsize: int = 8192) -> IO[Any]:  # noqa: ARG001 - WebDataset's
    """Opens a path or `file:` url."""
    if secure_mode():
        raise SpecError("local files are not opened, because WDS_SECURE is set", url=url)
    path = local_path(url)
    if path is None:
        raise SpecError("this is not the url of a local file", url=url)
    return open(path, mode)  # noqa: PTH123 - the caller's to close


def set_options(
    obj: object,
    timeout: float | None = None,
    ignore_errors: bool | None = None,
    ignore_status: list[int] | None = None,
    handler: Callable[[Exception], bool] | None = None,
) -> bool:
    """Sets options of a `Pipe`; False for all other streams. A handler is kept with it, as `handler`."""
    if not isinstance(obj, Pipe):
        return False
    options: dict[str, Any] = {"timeout": timeout, "ignore_errors": ignore_errors, "handler": handler}
    options["ignore_status"] = None if ignore_status is None else [0, *ignore_status]
    obj.__dict__.update({name: value for name, value in options.items() if value is not None})
    return True


def _opener(*schemes: str) -> property:
    def own(scheme: str) -> Any:
        return OWN.get(scheme, OWN["__default__"])

    def get(_: object) -> Any:
        return gopen_schemes.get(schemes[0], own(schemes[0]))

    def put(_: object, f: Any) -> None:
        for scheme in schemes:
            gopen_schemes[scheme] = own(scheme) if f is own(schemes[0]) else f
            if f is own(schemes[0]) and scheme not in OWN:
                del gopen_schemes[scheme]

    return property(get, put)


def _put_for_all(_: object, f: Any) -> None:
    gopen_schemes[EVERY] = f
    if f is gopen:
        del gopen_schemes[EVERY]


settable(
    __name__,
    gopen=property(lambda _: current_gopen(), _put_for_all),
    **{name: _opener(*schemes) for name, schemes in SCHEMES.items()},
)
