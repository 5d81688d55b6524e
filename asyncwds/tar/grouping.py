"""Members into samples, by WebDataset's rule: adjacent members with the same key are one sample."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from asyncwds.errors import DuplicateFieldError, RepeatedKeyError
from asyncwds.samples import Sample
from asyncwds.tar.known_keys import KnownKeys
from asyncwds.tar.members import Member, Refused, TakeRun
from asyncwds.tar.scanner import Scanner

Keys = Callable[[str], tuple[str, str] | tuple[None, None]]
"""Name of a member → (key, suffix), or (None, None) for a member that belongs to no sample."""

_CACHED = 1024


def base_plus_ext(path: str) -> tuple[str, str] | tuple[None, None]:
    """WebDataset's rule: the first dot of the last path component ends the key. "a/b.c.jpg" → ("a/b", "c.jpg").

    Without a dot there is no key. If the component begins with one, the directory is the key, provided that its own
    last component has no dot: "a/.x" → ("a/", "x"), but ".x" and "a.b/.x" → (None, None).
    """
    start = path.rfind("/") + 1
    dot = path.find(".", start)
    if dot == start and "." in path[path.rfind("/", 0, max(start - 1, 0)) + 1 : start]:
        return None, None
    return (path[:dot], path[dot + 1 :]) if dot > 0 else (None, None)


def is_meta(name: str) -> bool:
    """WebDataset reserves names whose first component is `__…__`, such as `__meta__` and `__info__/shard.json`."""
    top, slash, _ = name.partition("/")
    return top.startswith("__") and top.endswith("__") and (len(top) >= 4 or not slash)


def size_of(sample: Mapping[str, Any]) -> int:
    """Bytes of the fields."""
    return sum([len(value) for value in sample.values() if type(value) is bytes])


def describe_repeated_key(key: str) -> str:
    return (
        f"the key {key[:200]!r} comes again after another one: members of a sample must stand together, or they are several samples"
    )


class Grouper:
    """Groups the members of one shard; `shard` is its index, for the origins of the samples.

    lcase      field names are suffixes in lower case
    suffixes   fields to keep; None keeps all
    skip_meta  members with reserved names (`is_meta`) are skipped
    strict     samples whose key had been there before another one are left out
    ordinal    of the first sample
    A sample with a true field `__bad__` is dropped, but counted in the ordinals.
    """

    def __init__(
        self,
        url: str,
        shard: int,
        *,
        local_path: str | None = None,
        keys: Keys = base_plus_ext,
        lcase: bool = True,
        suffixes: Collection[str] | None = None,
        skip_meta: bool = True,
        strict: bool = False,
        ordinal: int = 0,
    ) -> None:
        self.faults: list[tuple[int, Exception]] = []
        """What went wrong in the last call, each with a position in the list that was returned: it happened before that sample."""
        self._url = url
        self._shard = shard
        self._keys = keys
        self._lcase = lcase
        self._suffixes = suffixes
        self._skip_meta = skip_meta
        self._strict = strict
        self._known = KnownKeys()
        self.repeated = 0
        """Samples whose key had been there before another one."""
        self._template = {"__key__": "", "__url__": url}
        if local_path is not None:
            self._template["__local_path__"] = local_path
        self._fields: dict[str, str] = {}  # suffix → field, for suffixes seen that need no closer look
        self._sample: Sample | None = None
        self._ordinal = ordinal
        self._completed: list[Sample] | None = None  # by runs, since `feed` was called last

    @property
    def ordinal(self) -> int:
        """Of the sample that begins next."""
        return self._ordinal

    @property
    def pending_key(self) -> str | None:
        """Key of the sample that is still open."""
        return None if self._sample is None else self._sample["__key__"]

    @property
    def held(self) -> int:
        """Bytes of the fields of the sample that is still open."""
        return 0 if self._sample is None else size_of(self._sample)

    def feed(self, members: list[Member]) -> list[Sample]:  # noqa: C901 - one loop: calls would cost more than the work
        """The samples that these members complete: a sample ends when the next key begins.

        A field that comes twice is a DuplicateFieldError in `faults`; the first value is kept. So is the error of a `Refused`
        member, which is left out, and a RepeatedKeyError for the first key that comes again, if `strict` for each.
        """
        samples = self._begin()
        self._completed = None
        sample = self._sample
        current = self.pending_key
        known, is_new = self._fields.get, self._known.add
        for name, data, offset in members:
            # If what follows the first dot of the whole name is a known suffix (those have no slash), that dot ends the key.
            key, _, suffix = name.partition(".")
            field = known(suffix)
            if field is None or key != current:
                if field is None or not key or key[0] == "_" or key[-1] == "/":
                    split = self._split(name)
                    if split is None:
                        if type(name) is Refused:
                            self.faults.append((len(samples), name.error))
                        continue
                    key, field = split
                if key != current:
                    if sample is not None and not sample.get("__bad__"):
                        samples.append(sample)
                    self._sample = sample = Sample(self._template)
                    sample["__key__"] = current = key
                    sample._origin = (self._shard, self._ordinal, offset)  # noqa: SLF001 - a property that sets it would cost as much as the rest
                    self._ordinal += 1
                    if not is_new(key):
                        self._repeat(sample, len(samples), offset)
                if field is None:
                    continue
            assert sample is not None
            if field in sample:
                self.faults.append((len(samples), self._duplicate(name, key, offset)))
            else:
                sample[field] = data
        return samples

    def add(self, members: list[Member]) -> None:
        """What they complete comes with the samples that the next `feed` returns."""
        self._completed = self.feed(members)

    def _begin(self) -> list[Sample]:
        """Where samples are gathered until the end of a `feed`."""
        if self._completed is None:
            self._completed, self.faults = [], []
        return self._completed

    def runs(self, scan: Scanner | None, *, max_member_bytes: int, max_header_bytes: int) -> TakeRun | None:
        """For a parser whose members this groups: `take_run`, by `scan`; None where there is none, or this has other rules.

        What it takes comes with the samples that the next `feed` returns.
        """
        if scan is None or self._keys is not base_plus_ext or not self._lcase or self._suffixes is not None or not self._skip_meta:
            return None
        self._known.rise()

        def take_run(chunk: bytes | memoryview, pos: int, fit: int, base: int, members: list[Member]) -> tuple[int, bool]:
            if members:
                self.add(members)
                members.clear()
            samples = self._begin()
            pos, goes_on, self._ordinal, self._sample = scan(
                chunk, pos, fit, base, max_member_bytes, max_header_bytes,
                Sample, self._template, self._shard, self._ordinal, self._sample, self._known.keys, samples,
            )  # fmt: skip
            return pos, goes_on

        return take_run

    def finish(self) -> list[Sample]:
        """The last sample of the shard."""
        self.faults = []
        return self._close_sample()

    def completed_by(self, name: str) -> list[Sample]:
        """The open sample, if a member of that name ends it. Faults stay as they are: it comes after them."""
        split = self._split(name)
        if split is None or split[0] == self.pending_key:
            return []
        return self._close_sample()

    def _close_sample(self) -> list[Sample]:
        sample, self._sample = self._sample, None
        return [] if sample is None or sample.get("__bad__") else [sample]

    def _split(self, name: str) -> tuple[str, str | None] | None:
        """Key and field of a member; None for the field if it is not to be kept, None for both if the member is skipped."""
        if type(name) is Refused:
            return None
        if self._skip_meta and name.startswith("__") and is_meta(name):
            return None
        key, suffix = self._keys(name)
        if key is None or suffix is None:
            return None
        if suffix in self._fields:
            return key, self._fields[suffix]
        field = suffix.lower() if self._lcase else suffix
        if self._suffixes is not None and field not in self._suffixes:
            return key, None
        # Two stay unknown: "" is also what a name without a dot gives in `feed`, and with a suffix in "__" a name can be
        # reserved though its key is not ("__a.b__").
        if self._keys is base_plus_ext and suffix and not suffix.endswith("__") and len(self._fields) < _CACHED:
            self._fields[suffix] = field
        return key, field

    def _repeat(self, sample: Sample, position: int, offset: int) -> None:
        self.repeated += 1
        if self._strict:
            sample["__bad__"] = True
        elif self.repeated > 1:
            return
        key = sample["__key__"]
        self.faults.append((position, RepeatedKeyError(describe_repeated_key(key), url=self._url, offset=offset, key=key)))

    def _duplicate(self, name: str, key: str, offset: int) -> DuplicateFieldError:
        return DuplicateFieldError(
            f"member {name!r} gives a field that its sample already has", url=self._url, offset=offset, key=key
        )
