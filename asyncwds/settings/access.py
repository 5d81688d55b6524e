"""The settings of requests, completed with defaults."""

from __future__ import annotations

from asyncwds import checks
from asyncwds.settings.http import Http
from asyncwds.settings.retry import Retry


def as_settings(http: Http | None, retry: Retry | None) -> tuple[Http, Retry]:
    """Those that are given, or the defaults. Raises SpecError for anything else."""
    checks.instance("http", http, Http, optional=True)
    checks.instance("retry", retry, Retry, optional=True)
    return http or Http(), retry or Retry()
