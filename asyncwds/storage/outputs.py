"""Which output writes which url: that of its scheme."""

from __future__ import annotations

from asyncwds.errors import SpecError
from asyncwds.runtime.security import why_refused
from asyncwds.settings.access import Storage
from asyncwds.shards.urls import scheme_of
from asyncwds.storage.local.output import Output
from asyncwds.storage.schemes import SchemeMatch, find, known_names


def blocking_output(url: str, storage: Storage) -> Output | None:
    """The output for urls that are written by blocking calls, such as file:, plain paths, pipe:, and - for standard output.

    None for those that need a sink. Raises SpecError for urls that nothing writes, and for local files and pipes where the
    environment has WDS_SECURE=1.
    """
    return output_for(url, writable(url, storage))


def writable(url: str, storage: Storage) -> SchemeMatch:
    scheme = scheme_of(url)
    if reason := why_refused(scheme):
        raise SpecError(f"{scheme}: urls are not written to, because {reason}", url=url)
    match = find(url, storage)
    if match is None or not match.scheme.is_writable:
        raise SpecError(f"nothing writes to {scheme}: urls; there is {known_names(lambda known: known.is_writable)}", url=url)
    return match


def output_for(url: str, match: SchemeMatch) -> Output | None:
    return None if match.scheme.output is None else match.scheme.output(match.settings, url)
