"""Shards of several data sets, so many of each in an epoch: what a YAML file or a dict says.

prefix: s3://bucket/            before every shard; ~ and $VARIABLES are replaced here and below
buckets: train                  folder of the data sets that name none
datasets:
  - name: a
    shards: a-{000..099}.tar    a pattern or a list of patterns
    choose: 10                  so many in an epoch, each at most once
  - buckets: other
    shards: [b-{00..09}.tar]
    resample: 20                so many, drawn with replacement; without either, all
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.runtime.security import require_local
from asyncwds.shards.braces import Braces
from asyncwds.shards.likeness import in_folder
from asyncwds.shards.patterns import parse_pattern
from asyncwds.shards.plan import Group, Sampled
from asyncwds.shards.urls import UrlList, is_command, join_lists, url_list

_TOP = {"prefix", "datasets", "buckets"}
_DATASET = {"buckets", "name", "shards", "resample", "choose"}


@dataclass(frozen=True)
class MSSource:
    """One of the data sets: `perepoch` shards without, or `resample` with replacement in an epoch, or all where both are None."""

    name: str
    urls: Sequence[str]
    perepoch: int | None = None
    resample: int | None = None


def all_urls(sources: list[MSSource]) -> UrlList:
    return join_lists(source.urls for source in sources)


def sampled(sources: list[MSSource]) -> Sampled:
    """How an epoch draws from `all_urls`."""
    return Sampled(tuple([Group(len(source.urls), source.perepoch, source.resample) for source in sources]))


def sources_of(spec: str | os.PathLike[str] | Mapping[str, Any]) -> list[MSSource]:
    """The data sets of a spec, or of a YAML file with one."""
    if not isinstance(spec, Mapping):
        return _sources(_loaded(spec), os.fspath(spec))
    return _sources(spec, "the spec")


def _loaded(path: str | os.PathLike[str]) -> Any:
    require_local("specs are not read from local files", os.fspath(path))
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SpecError("specs in YAML need PyYAML: pip install 'asyncwds[yaml]'", url=os.fspath(path)) from error
    try:
        return yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(f"the spec cannot be read: {error}", url=os.fspath(path)) from error


def _sources(spec: Any, where: str) -> list[MSSource]:
    _require_keys(spec, _TOP, where)
    datasets = spec.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise SpecError(f"{where} must have a list `datasets`")
    return [_source(dataset, spec, f"data set {number} of {where}") for number, dataset in enumerate(datasets)]


def _source(dataset: Any, spec: Mapping[str, Any], where: str) -> MSSource:
    _require_keys(dataset, _DATASET, where)
    bucket = _bucket(dataset.get("buckets", spec.get("buckets", [])), where)
    prefix = _expanded(spec.get("prefix", ""))
    patterns = dataset.get("shards")
    in_list = isinstance(patterns, list)
    patterns = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(patterns, list) or not patterns:
        raise SpecError(f"{where} must have `shards`")
    found: list[str | Braces] = []
    for pattern in patterns:
        if in_list and is_command(str(pattern)):
            found.append(pattern)
        else:
            found += _in_bucket(prefix, bucket, parse_pattern(_expanded(pattern)))
    urls = url_list(found)
    choose, resample = _number(dataset, "choose", where), _number(dataset, "resample", where)
    if choose is not None and resample is not None:
        raise SpecError(f"{where} has both `choose` and `resample`")
    if choose is not None and choose > len(urls):
        raise SpecError(f"{where} is to choose {choose} of {len(urls)} shards")
    return MSSource(str(dataset.get("name", f"@{bucket}")), urls, choose, resample)


def _in_bucket(prefix: str, bucket: str, pattern: Braces) -> list[str | Braces]:
    """Urls, or paths as they were given."""
    if kept := in_folder(bucket, pattern):
        return [kept.with_head(prefix + kept.head)]
    return [prefix + os.path.join(bucket, pattern.at(number)) for number in range(pattern.count)]  # noqa: PTH118


def _bucket(buckets: Any, where: str) -> str:
    buckets = [buckets] if isinstance(buckets, str) else buckets
    if not isinstance(buckets, list) or len(buckets) > 1:
        raise SpecError(f"{where} must have one bucket, not {buckets!r}")
    return _expanded(buckets[0]) if buckets else ""


def _number(dataset: Mapping[str, Any], key: str, where: str) -> int | None:
    """WebDataset takes what is not above 0 for unset."""
    number = dataset.get(key, -1)
    if not isinstance(number, int):
        raise SpecError(f"{where}: `{key}` must be a whole number, not {number!r}")
    return number if number > 0 else None


def _require_keys(mapping: Any, known: set[str], where: str) -> None:
    if not isinstance(mapping, Mapping):
        raise SpecError(f"{where} must be a mapping, not {type(mapping).__name__}")
    unknown = set(mapping) - known
    if unknown:
        raise SpecError(f"{where} has unknown keys: {', '.join(sorted(map(str, unknown)))}; known are {', '.join(sorted(known))}")


def _expanded(text: Any) -> str:
    return os.path.expanduser(os.path.expandvars(str(text)))  # noqa: PTH111 - of urls a Path would make something else
