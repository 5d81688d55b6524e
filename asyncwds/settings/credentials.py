"""What settings of stores have in common: of several ways to give credentials one, and no secrets in files.

What is left out comes from the vendor's own environment variables and files.

Secrets are not shown by `repr`, and settings that hold some refuse to be pickled, so that they end up in no file: for other
processes put them into the environment, or give a function that finds them.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit

from asyncwds import checks
from asyncwds.errors import SpecError

Expiring = tuple[str, float]
"""A token and its end [s since 1970]."""


def check_settings(settings: Any, *names: str) -> None:
    """Of the named ones, which are functions (`get_`), flags (`anonymous`) and text, one can be given."""
    for name in names:
        label = f"{type(settings).__name__}: {name}"
        if name.startswith("get_"):
            checks.function(label, getattr(settings, name), optional=True, takes=0)
        elif name == "anonymous":
            checks.flag(label, settings.anonymous)
        elif name == "credentials_file":
            checks.path(label, settings.credentials_file, optional=True)
        else:
            checks.text(label, getattr(settings, name), optional=True)
    if hasattr(settings, "endpoint"):
        checks.texts(settings, "endpoint")
    if getattr(settings, "endpoint", None) is not None and "@" in urlsplit(settings.endpoint).netloc:
        raise SpecError(f"{type(settings).__name__}: an endpoint has no user and password in it", url=settings.endpoint)
    given = [name for name in names if getattr(settings, name) not in (None, False)]
    if len(given) > 1:
        raise SpecError(f"{type(settings).__name__}: only one of {' and '.join(given)} can be given")


def pickle_without(settings: Any, *secrets: str) -> tuple[Any, ...]:
    for name in secrets:
        if getattr(settings, name):
            raise SpecError(
                f"{type(settings).__name__}({name}=...) is not pickled, so that it ends up in no file; for other processes put it "
                "into the environment, or give a function that finds it"
            )
    return type(settings), tuple(getattr(settings, entry.name) for entry in fields(settings))
