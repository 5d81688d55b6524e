"""Where a tool writes: one file, `-`, a URL, or a pattern of shards such as `out-{shard:06d}.tar`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from asyncwds.errors import NotFoundError, SpecError
from asyncwds.runtime.blocking import run_on_own_loop
from asyncwds.settings.access import Access
from asyncwds.shards.urls import local_path, scheme_of
from asyncwds.storage.local.output import Output
from asyncwds.storage.local.readiness import translate_os_error
from asyncwds.writer.opening import open_output

PLACES = ("shard", "part", "split", "name")
_SAID_BY = {
    "part": "--part does",
    "split": "groups of samples have one",
    "name": "here samples of several shards are put together",
}


@dataclass(frozen=True)
class Target:
    """`pattern` may have {shard}, the number of a shard, {part}, that of the job, {split}, the name of a group of samples, and
    {name}, that of the shard which they come from, each with a format as `{shard:06d}`; or one `%06d`, for the number.
    """

    pattern: str

    def __post_init__(self) -> None:
        if unknown := [place for place in self.places if place not in PLACES]:
            raise SpecError(f"there is no {{{unknown[0]}}} in patterns of shards, but {', '.join(PLACES)}", url=self.pattern)
        self.name(0, part=0, split="x", name="x")

    @property
    def places(self) -> list[str]:
        """The names in braces; ["shard"] for one of the form %06d."""
        try:
            found = [name for _, name, _, _ in Formatter().parse(self.pattern) if name is not None]
        except ValueError as error:
            raise SpecError(f"this is no pattern of shards: {error}", url=self.pattern) from error
        return found or (["shard"] if "%" in self.pattern and scheme_of(self.pattern) in ("file", "-") else [])

    @property
    def is_pattern(self) -> bool:
        """Whether there may be several shards."""
        return "shard" in self.places

    def name(self, shard: int, *, part: int | None = None, split: str | None = None, name: str | None = None) -> str:
        """The url of a shard."""
        values: Mapping[str, object] = {"shard": shard, "part": part, "split": split, "name": name}
        if missing := [place for place in self.places if values[place] is None]:
            raise SpecError(f"nothing says what {{{missing[0]}}} is: {_SAID_BY[missing[0]]}", url=self.pattern)
        if "{" not in self.pattern and self.is_pattern:
            return self._with_number(shard)
        try:
            return self.pattern.format(**values) if self.places else self.pattern
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise SpecError(f"this is no pattern of shards: {error}", url=self.pattern) from error

    def _with_number(self, shard: int) -> str:
        try:
            return self.pattern % shard
        except (TypeError, ValueError) as error:
            raise SpecError(f"the pattern needs one place for a number, such as %06d ({error})", url=self.pattern) from error


def open_target(url: str, access: Access) -> Output:
    """An output for a file of a tool. The folder of a local one is made where it is not there, as buckets need none."""
    path = local_path(url)
    if path is not None:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise translate_os_error(error, url) from error
    return open_output(url, access)


def write_target(url: str, data: bytes, access: Access) -> None:
    """A small file of a tool, whole or not at all."""
    output = open_target(url, access)
    try:
        output.write(data)
        output.commit()
    except BaseException:
        output.abort()
        raise


def exists(url: str, access: Access) -> bool:
    """Whether there is something that writing would replace. Raises FetchError where that cannot be known."""
    if scheme_of(url) in ("-", "pipe"):
        return False
    path = local_path(url)
    if path is not None:
        return os.path.isfile(path)  # noqa: PTH113 - a FIFO and a device are not replaced
    return run_on_own_loop(lambda: _exists(url, access))


async def _exists(url: str, access: Access) -> bool:
    from asyncwds.engine.openers import open_by_scheme  # noqa: PLC0415 - what asks servers is heavy
    from asyncwds.runtime.counters import Counters  # noqa: PLC0415 - as above
    from asyncwds.storage.base import ObjectRange  # noqa: PLC0415 - as above

    fetcher = open_by_scheme(access, Counters())
    try:
        async with fetcher.open(ObjectRange(url, 0, 1)):
            return True
    except NotFoundError:
        return False
    finally:
        await fetcher.aclose()
