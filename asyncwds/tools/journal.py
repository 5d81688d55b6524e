"""`<out>.journal`: which shards of a run are complete, so that the same command goes on behind them after it was killed.

The first line says which run it is; each further one is a shard that is complete, as the report has it. A local journal is appended
to, and what was appended survives the process; one beside shards in a bucket is written anew after each shard. Urls in it are
redacted, and known by their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from asyncwds.errors import NotFoundError, SpecError, redact
from asyncwds.settings.access import Access
from asyncwds.settings.reading import Prefetch
from asyncwds.shards.urls import local_path
from asyncwds.tools.targets import open_target

FORMAT = "asyncwds-journal-1"


class Journal:
    """`run` is what makes the shards what they are: a journal of another run is a SpecError."""

    def __init__(self, url: str, run: Any, access: Access) -> None:
        self.url = url
        self._access = access
        self._path = local_path(url)
        self._first = {"format": FORMAT, "run": hashlib.sha256(json.dumps(run, sort_keys=True, default=str).encode()).hexdigest()}
        self._lines = self._load()
        self._shards: dict[str, dict[str, Any]] = {line["url_sha256"]: line for line in self._lines[1:]}

    def find(self, url: str) -> dict[str, Any] | None:
        """What is known of a shard, if it is complete."""
        shard = self._shards.get(_digest(url))
        return None if shard is None else {name: value for name, value in shard.items() if name != "url_sha256"} | {"url": url}

    def add(self, shard: dict[str, Any]) -> None:
        """Once it is visible under its name, and its `post` command has ended well."""
        url = shard["url"]
        shard = {**shard, "url": redact(url), "url_sha256": _digest(url)}
        self._shards[shard["url_sha256"]] = shard
        new = [self._first, shard] if not self._lines else [shard]
        self._lines += new
        if self._path is None:
            self._write(self._lines)
            return
        with Path(self._path).open("a") as file:
            file.write(_text(new))
            file.flush()
            os.fsync(file.fileno())

    def _load(self) -> list[dict[str, Any]]:
        try:
            text = self._read().decode()
        except NotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]  # the last line may have been cut
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise SpecError(f"this is no journal: {error}", url=self.url) from error
        if lines and lines[0] != self._first:
            message = "this journal is of a run with other inputs or options: remove it to begin anew, or resume with those"
            raise SpecError(message, url=self.url)
        if self._path is not None and whole != text:
            os.truncate(self._path, len(whole.encode()))
        return lines

    def _read(self) -> bytes:
        if self._path is None:
            from asyncwds.bridges.file_objects import DownloadFile  # noqa: PLC0415 - heavy

            with DownloadFile(self.url, Prefetch(), self._access) as file:
                return file.readall() or b""
        try:
            return Path(self._path).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError("there is no journal", url=self.url) from error

    def _write(self, lines: list[dict[str, Any]]) -> None:
        output = open_target(self.url, self._access)
        try:
            output.write(_text(lines).encode())
            output.commit()
        except BaseException:
            output.abort()
            raise


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()


def _text(lines: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)
