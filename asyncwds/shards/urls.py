"""What a url is: the scheme, the path of a local file, and what the environment makes of it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import unquote

from asyncwds.errors import SpecError, redact
from asyncwds.runtime.security import secure_mode

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # at least two letters: C:\ is a local path
FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def local_path(url: str) -> str | None:
    """The path of a local file or a `file:` URL (RFC 8089, so percent-decoded); None for everything else."""
    if url == "-":
        return None
    if (prefix := FILE.match(url)) is not None:
        return unquote(url[prefix.end() :])
    return None if SCHEME.match(url) else url


def scheme_of(url: str) -> str:
    """The scheme in lower case; "file" for local paths, "-" for standard input."""
    return "-" if url == "-" else "file" if local_path(url) is not None else url.partition(":")[0].lower()


def is_command(text: str) -> bool:
    return text[:5].lower() == "pipe:"


def rewritten(url: str) -> str:
    """The url as $GOPEN_REWRITE says: "pattern=replacement;…", the first pattern that matches its beginning counts.

    Raises SpecError in secure mode if that variable is set.
    """
    rules = os.environ.get("GOPEN_REWRITE")
    if not rules or url == "-":
        return url
    if secure_mode():
        raise SpecError("urls are not rewritten by GOPEN_REWRITE, because WDS_SECURE is set", url=url)
    for rule in filter(None, rules.split(";")):
        pattern, equals, replacement = rule.partition("=")
        if not equals:
            raise SpecError(f"GOPEN_REWRITE has a rule without '=': {rule!r}")
        new = re.sub(f"^{pattern}", replacement, url)
        if new != url:
            return new
    return url


def shorten_urls(urls: Sequence[str]) -> str:
    """For `repr`: the first url and the last, without secrets, and how many there are."""
    if not urls:
        return "[]"
    first, last = repr(redact(urls[0])), repr(redact(urls[-1]))
    return first if len(urls) == 1 else f"{first} … {last} ({len(urls)} shards)"


def expand_environment(text: str) -> str:
    """The text with `${X}` replaced by the environment variable WDS_X, and so on in what that gives, ten times at most.

    Raises SpecError if such a variable is not set.
    """
    for _ in range(10):
        replaced = _VARIABLE.sub(_variable, text)
        if replaced == text:
            break
        text = replaced
    return text


def _variable(match: re.Match[str]) -> str:
    name = f"WDS_{match[1]}"
    if name not in os.environ:
        hint = "; in a list, a command is taken as it is" if is_command(match.string) else ""
        raise SpecError(f"${{{match[1]}}} stands for the environment variable {name}, which is not set{hint}", url=match.string)
    return os.environ[name]
