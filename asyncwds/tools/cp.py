"""`cp`: shards from one store to another, as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import basename
from typing import Any

from asyncwds import checks
from asyncwds.bridges.file_objects import DownloadFile
from asyncwds.errors import ChecksumError, FetchError, SpecError, WdsError, redact
from asyncwds.formatting.texts import printable
from asyncwds.runtime.units import MiB
from asyncwds.settings.reading import Prefetch
from asyncwds.shards.manifests import ShardRecord
from asyncwds.shards.urls import local_path
from asyncwds.tools.inputs import Inputs
from asyncwds.tools.naming import InputShard
from asyncwds.tools.processing.running import call_each
from asyncwds.tools.targets import Target, exists, open_target

AT_ONCE = 4 * MiB
MEMORY = 64 * MiB
"""[bytes] of each shard that is under way, read ahead of what is written."""


@dataclass
class CopyReport:
    """shards   what was copied: source, url, bytes, sha256
    there    targets that were there already, with the same bytes
    failed   what was passed over, and why
    """

    shards: list[dict[str, Any]] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, and for others to see: urls are redacted."""
        shards = [{**shard, "source": redact(shard["source"]), "url": redact(shard["url"])} for shard in self.shards]
        return {"shards": shards, "there": list(map(redact, self.there)), "failed": self.failed}


def copy_shards(
    inputs: Inputs,
    target: str,
    *,
    jobs: int = 4,
    force: bool = False,
    resume: bool = False,
    verify: bool = False,
    dry_run: bool = False,
    show: Callable[[CopyReport], object] | None = None,
) -> CopyReport:
    """Copies shards, `jobs` at a time, each there whole or not at all.

    target   a folder or prefix that ends with a slash, where each keeps its name; a pattern with {shard} or {name}; or one file
    force    replace what is there
    resume   read what is there and leave it if it has the same bytes; replace it if not
    verify   read each copy again, and compare

    What manifests know of size and SHA-256 is compared on the way. Raises SpecError, FetchError and ChecksumError, unless
    `inputs.on_error` is "skip": then they are in the report.
    """
    checks.whole("jobs", jobs, 1)
    urls, records = inputs.listing()
    pairs = list(zip(urls, target_names(urls, target), strict=True))
    report = CopyReport()
    copying = _Copying(inputs=inputs, records=records, force=force, resume=resume, verify=verify, dry_run=dry_run)
    with closing(call_each(copying.copy_or_error, pairs, jobs)) as results:
        for (_, name), outcome in results:
            if isinstance(outcome, WdsError):
                if inputs.on_error == "fail":
                    raise outcome
                report.failed.append(printable(str(outcome)))
            elif outcome is None:
                report.there.append(name)
            else:
                report.shards.append(outcome)
            if show is not None:
                show(report)
    return report


def target_names(urls: list[str], target: str) -> list[str]:
    """Where each goes. Raises SpecError where two would be one."""
    path = local_path(target)
    if target.endswith("/") or (path is not None and Path(path).is_dir()):
        names = [f"{target.rstrip('/')}/{basename(url.partition('?')[0])}" for url in urls]
    elif {"shard", "name"} & {*Target(target).places}:
        names = [Target(target).name(number, name=InputShard(number, url).name) for number, url in enumerate(urls)]
    elif len(urls) == 1:
        names = [target]
    else:
        raise SpecError("several shards need a folder, with a slash at the end, or a pattern with {shard} or {name}", url=target)
    seen: dict[str, str] = {}
    for url, name in zip(urls, names, strict=True):
        if name in seen:
            raise SpecError(f"{seen[name]} and {url} would both be copied to it", url=name)
        seen[name] = url
    return names


@dataclass(frozen=True, kw_only=True)
class _Copying:
    inputs: Inputs
    records: Mapping[str, ShardRecord]
    force: bool
    resume: bool
    verify: bool
    dry_run: bool

    def copy_or_error(self, pair: tuple[str, str]) -> dict[str, Any] | WdsError | None:
        """What was copied; None where it was there."""
        try:
            return self._copy(*pair)
        except WdsError as error:
            return error

    def _copy(self, url: str, name: str) -> dict[str, Any] | None:
        if not self.force and exists(name, self.inputs.access):
            if not self.resume:
                raise SpecError("there is such a shard already; --force (force=True) replaces it, --resume compares", url=name)
            if self._digest(name) == self._digest(url):
                return None
        if self.dry_run:
            return {"source": url, "url": name, "bytes": None, "sha256": None}
        size, digest = self._transfer(url, name)
        if self.verify and self._digest(name) != (size, digest):
            raise ChecksumError("the copy that was read again is another one", url=name)
        return {"source": url, "url": name, "bytes": size, "sha256": digest}

    def _transfer(self, url: str, name: str) -> tuple[int, str]:
        output = open_target(name, self.inputs.access)
        try:
            found = self._digest(url, output.write)
            self._compare(url, *found)
            output.commit()
        except BaseException:
            output.abort()
            raise
        return found

    def _digest(self, url: str, take: Callable[[bytes], object] | None = None) -> tuple[int, str]:
        """Size and SHA-256 of what is read, and `take` gets it."""
        digest, size = hashlib.sha256(), 0
        prefetch = Prefetch(connections="auto" if self.inputs.io is None else self.inputs.io, buffer_bytes=MEMORY)
        with DownloadFile(url, prefetch, self.inputs.access) as file:
            while data := file.read(AT_ONCE):
                digest.update(data)
                size += len(data)
                if take is not None:
                    take(data)
        return size, digest.hexdigest()

    def _compare(self, url: str, size: int, digest: str) -> None:
        record = self.records.get(url)
        if record is None:
            return
        if record.bytes and size != record.bytes:  # lists of others do not have it
            raise FetchError(f"it has {size} bytes, and the manifest says {record.bytes}", url=url)
        if record.sha256 not in (None, digest):
            raise ChecksumError(f"its SHA-256 is {digest}, and the manifest says {record.sha256}", url=url)
