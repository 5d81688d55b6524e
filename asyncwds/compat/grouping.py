"""The stage that makes samples of the files of archives: WebDataset's `group_by_keys`. The engine has its own, in `tar`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from asyncwds import checks
from asyncwds.engine.blocks import tolerated
from asyncwds.errors import DuplicateFieldError, RepeatedKeyError, SpecError
from asyncwds.pipeline.stage_run import goes_on
from asyncwds.runtime.handlers import Handler, reraise_exception
from asyncwds.samples import Sample
from asyncwds.tar.grouping import Keys, base_plus_ext, describe_repeated_key

Identity = tuple[str, str, object, int]  # key, url, number of the archive, empty dicts seen: a sample has one of each


def group_by_keys(
    data: Iterable[Any],
    keys: Keys = base_plus_ext,
    lcase: bool = True,
    suffixes: Collection[str] | None = None,
    handler: Handler = reraise_exception,
) -> Iterator[Sample]:
    """Files of archives → samples: adjacent files with the same key are one.

    keys      name → (key, suffix), or (None, None) for a file that belongs to no sample
    lcase     fields are suffixes in lower case
    suffixes  fields to keep; None keeps all
    handler   asked about a field that comes twice, a DuplicateFieldError; going on keeps the first

    An empty dict ends an archive, as does a file of another one. A ShardWarning says it, once for an archive, where a key comes
    again after another one.
    """
    checks.function("group_by_keys: keys", keys, takes=1)
    checks.flag("group_by_keys: lcase", lcase)
    checks.require(
        suffixes is None or hasattr(suffixes, "__contains__"), f"group_by_keys: suffixes must be names, not {suffixes!r}"
    )
    checks.function("group_by_keys: handler", handler, takes=1)
    return _grouped(data, keys, lcase, suffixes, handler)


def _grouped(data: Iterable[Any], keys: Keys, lcase: bool, suffixes: Collection[str] | None, handler: Handler) -> Iterator[Sample]:
    seen = _Seen()
    for identity, files in groupby(_identified(data, keys), itemgetter(0)):
        key, url, _, _ = identity
        seen.add(identity)
        sample, going = Sample(__key__=key, __url__=url), True
        for _, suffix, file in files:
            field = suffix.lower() if lcase else suffix
            if field in sample:
                going = _goes_on(handler, file, key)
                if not going:
                    break
            elif suffixes is None or field in suffixes:
                sample[field] = file["data"]
            if "__local_path__" in file:
                sample["__local_path__"] = file["__local_path__"]
        if valid_sample(sample):
            yield sample
        if not going:
            return


class _Seen:
    """The keys of an archive."""

    def __init__(self) -> None:
        self._archive: tuple[object, ...] = ()
        self._keys: set[str] = set()
        self._warned = False

    def add(self, identity: Identity) -> None:
        key, *archive = identity
        if tuple(archive) != self._archive:
            self._archive, self._keys, self._warned = tuple(archive), set(), False
        if key not in self._keys:
            self._keys.add(key)
        elif not self._warned:
            self._warned = True
            tolerated(RepeatedKeyError(describe_repeated_key(key), url=identity[1], key=key), strict=False)


def valid_sample(sample: Any) -> bool:
    """Whether it is a dict with anything in it, and not marked by a true field `__bad__`."""
    return isinstance(sample, dict) and len(sample) > 0 and not sample.get("__bad__", False)


def _identified(data: Iterable[Any], keys: Keys) -> Iterator[tuple[Identity, str, Mapping[str, Any]]]:
    ends = 0
    for file in data:
        if not file:
            ends += 1
            continue
        if "fname" not in file:
            raise SpecError(f"group_by_keys needs files of archives, not {file!r:.100}; tar_file_expander belongs before it")
        key, suffix = keys(file["fname"])
        if key is not None and suffix is not None:
            yield (key, file["__url__"], getattr(file, "archive", None), ends), suffix, file


def _goes_on(handler: Handler, file: Mapping[str, Any], key: str) -> bool:
    message = f"file {file['fname']!r} gives a field that its sample already has"
    try:
        raise DuplicateFieldError(message, url=file["__url__"], key=key)  # noqa: TRY301 - handlers expect to be called while it is handled
    except DuplicateFieldError as error:
        return goes_on(error, handler)
