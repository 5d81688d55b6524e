"""Which samples are kept, and which of their members: what all tools share.

A `Selection` is a description; `open` makes a `Chooser`, which is asked about each sample in order and counts what it drops, by
reason. The questions come in this order: slice, keys, exclude_keys, where, py, sample, limit; then fields, drop, rename.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from asyncwds import checks
from asyncwds.errors import SampleError, SpecError
from asyncwds.settings.access import Access
from asyncwds.tar.grouping import base_plus_ext, is_meta
from asyncwds.tar.raw import RawMember, RawSample
from asyncwds.tools.keylists import Keys, load_keys
from asyncwds.tools.report import Report

if TYPE_CHECKING:
    from asyncwds.tools.expressions import Expression
    from asyncwds.tools.processing.function import Condition

Reason = Literal["slice", "keys", "exclude-keys", "where", "py", "sample", "no fields left"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """slice         "lo:hi:step" of all samples as Python has it, counted over all shards; "5" is ":5"
    keys          only samples with these keys: a list, or a file of them, see `asyncwds.tools.keylists`
    exclude_keys  none of these
    on            what is compared with keys: "key", or an expression such as "json.uid"
    where         a condition, see `asyncwds.tools.expressions`
    py            the same in Python: "module:function" or "file.py:function", which gets a dict of `__key__`, `__url__` and the
                  bytes of each field, and returns True or False
    sample        this share of the samples (0 to 1), by a hash of seed and key: the same samples in whatever shards they are
    limit         end after so many samples that were kept
    fields        "jpg;png,txt,*.json": these members only, by wildcards; of those with `;` between, the first that there is
    drop          members that are left out, by wildcards: "*.webp,meta.json"
    rename        new name → old name, or several with `;` between, of which the first that there is: {"image": "jpg;png"}
    """

    slice: str | None = None
    keys: str | Iterable[str] | Keys | None = None
    exclude_keys: str | Iterable[str] | Keys | None = None
    on: str = "key"
    where: str | None = None
    py: str | None = None
    sample: float | None = None
    seed: int = 0
    limit: int | None = None
    fields: str | None = None
    drop: str | None = None
    rename: Mapping[str, str] | None = None

    @property
    def is_everything(self) -> bool:
        """Whether all samples are wanted, as they are."""
        chosen = [each for each in fields(self) if each.name not in ("on", "seed", "rename")]
        return not self.rename and all(getattr(self, each.name) is each.default for each in chosen)

    def open(self, report: Report, access: Access | None = None) -> Chooser:
        """Raises SpecError for what makes no sense, and FetchError for a list of keys that cannot be read."""
        return Chooser(self, report, access)

    def load(self, access: Access | None = None) -> Selection:
        """With the lists of keys in memory, for several uses."""
        keys = None if self.keys is None else load_keys(self.keys, access)
        excluded = None if self.exclude_keys is None else load_keys(self.exclude_keys, access)
        return replace(self, keys=keys, exclude_keys=excluded)


class Chooser:
    """Asks the questions of a `Selection`, and counts the answers."""

    def __init__(self, selection: Selection, report: Report, access: Access | None) -> None:
        self._report = report
        self._window = parse_slice(selection.slice)
        self._keys = None if selection.keys is None else load_keys(selection.keys, access)
        self._excluded = None if selection.exclude_keys is None else load_keys(selection.exclude_keys, access)
        self._on = None if selection.on == "key" else _expression(selection.on)
        self._where = None if selection.where is None else _expression(selection.where)
        self._function = None if selection.py is None else _condition(selection.py)
        self._share = None if selection.sample is None else checks.real("sample", selection.sample, 0, 1)
        self._seed = selection.seed
        self._limit = None if selection.limit is None else checks.whole("limit", selection.limit, 0)
        self._members = _Members(selection)
        self._seen = self._kept = 0

    def has_finished(self) -> bool:
        """Whether no sample is wanted any more."""
        stop = self._window.stop
        return (self._limit is not None and self._kept >= self._limit) or (stop is not None and self._seen >= stop)

    def choose(self, sample: RawSample) -> RawSample | None:
        """What is kept of it. Raises SampleError where a condition asks for a field that does not hold what its name says."""
        reason = self._refused(sample)
        self._seen += 1
        kept = None if reason is not None else self._members.choose(sample)
        if kept is None:
            self._report.dropped[reason or "no fields left"] += 1
            return None
        self._kept += 1
        return kept

    def _refused(self, sample: RawSample) -> Reason | None:
        start, step = self._window.start or 0, self._window.step or 1
        if self._seen < start or (self._seen - start) % step:
            return "slice"
        if self._keys is not None and not self._is_listed(self._keys, sample):
            return "keys"
        if self._excluded is not None and self._is_listed(self._excluded, sample):
            return "exclude-keys"
        if self._where is not None and not self._where.is_true(sample):
            return "where"
        if self._function is not None and not self._function.is_true(sample):
            return "py"
        return "sample" if self._share is not None and share_of(sample.key, self._seed) >= self._share else None

    def _is_listed(self, keys: Keys, sample: RawSample) -> bool:
        return _text(self._on, sample) in keys


def _expression(text: str) -> Expression:
    from asyncwds.tools.expressions import parse  # noqa: PLC0415 - most do without

    return parse(text)


def _condition(name: str) -> Condition:
    from asyncwds.tools.processing.function import Condition  # noqa: PLC0415 - heavy

    return Condition(name)


def _text(on: Expression | None, sample: RawSample) -> str | None:
    if on is None:
        return sample.key
    value = on.value(sample)
    return None if value is None else str(value)


def share_of(key: str, seed: int) -> float:
    """A number from 0 to 1 that depends on nothing else."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8, key=str(seed).encode()[:64]).digest()
    return int.from_bytes(digest, "big") / 2**64


def parse_slice(text: str | None) -> slice:
    """Raises SpecError for what is no slice, and for one that counts from the end, which is not known before."""
    found = re.fullmatch(r"\s*(\d*)\s*(?:(:)\s*(\d*)\s*(?::\s*(\d*)\s*)?)?", text or ":")
    numbers = [] if found is None else [int(each) if each else None for each in (found[1], found[3], found[4])]
    if found is None or numbers[2] == 0 or not (found[2] or found[1]):
        raise SpecError(f"a slice is lo:hi:step, with numbers from 0, and a step from 1, not {(text or '')[:40]!r}")
    return slice(*numbers) if found[2] else slice(None, numbers[0])


class _Members:
    """Which members are kept, and under which names."""

    def __init__(self, selection: Selection) -> None:
        self._fields = None if selection.fields is None else [each.split(";") for each in _names(selection.fields)]
        self._drop = [] if selection.drop is None else _names(selection.drop)
        self._rename = {new: old.split(";") for new, old in (selection.rename or {}).items()}
        self._as_they_are = self._fields is None and not self._drop and not self._rename

    def choose(self, sample: RawSample) -> RawSample | None:
        if self._as_they_are:
            return sample
        members = sample.members if self._fields is None else self._wanted(sample)
        members = tuple(member for member in members if not any(fnmatchcase(member.field, name) for name in self._drop))
        if self._rename:
            members = self._renamed(sample, members)
        return sample._replace(members=members) if members else None

    def _wanted(self, sample: RawSample) -> tuple[RawMember, ...]:
        assert self._fields is not None
        chosen: set[str] = set()
        for alternatives in self._fields:
            found = (names for name in alternatives if (names := _matching(sample.members, name)))
            chosen |= next(found, set())
        return tuple(member for member in sample.members if member.field in chosen)

    def _renamed(self, sample: RawSample, members: tuple[RawMember, ...]) -> tuple[RawMember, ...]:
        names = {member.field for member in members}
        new_names = {
            old: new for new, olds in self._rename.items() if (old := next((each for each in olds if each in names), None))
        }
        renamed = tuple(
            member.renamed(checked_name(sample, sample.key, new), new) if (new := new_names.get(member.field)) else member
            for member in members
        )
        fields = [member.field for member in renamed]
        if clash := next((field for field in new_names.values() if fields.count(field) > 1), None):
            message = f"the sample has a field {clash!r} already, which another one is to be renamed to"
            raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
        return renamed


def _matching(members: Iterable[RawMember], name: str) -> set[str]:
    return {member.field for member in members if fnmatchcase(member.field, name)}


def _names(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split(",")]
    if not all(names):
        raise SpecError(f"names of fields are jpg,txt with ; between alternatives, not {text[:80]!r}")
    return names


def checked_name(sample: RawSample, key: str, suffix: str) -> str:
    """The name of a member, which has to come back as this key and suffix. Raises SampleError if it would not."""
    name = f"{key}.{suffix}"
    if is_meta(name) or base_plus_ext(name) != (key, suffix) or "\0" in name:
        message = f"a member {name[:200]!r} would not come back as key {key[:200]!r} and field {suffix!r}"
        raise SampleError(message, url=sample.url, offset=sample.offset, key=sample.key)
    return name


def with_key(sample: RawSample, key: str) -> RawSample:
    """The same fields under another key. Raises SampleError for a key that would come back as another one."""
    if key == sample.key:
        return sample
    suffixes = [member.name[len(sample.key) + 1 :] for member in sample.members]
    members = [
        member.renamed(checked_name(sample, key, suffix), member.field)
        for member, suffix in zip(sample.members, suffixes, strict=True)
    ]
    return sample._replace(key=key, members=tuple(members))


__all__ = ["Chooser", "Selection", "checked_name", "parse_slice", "share_of", "with_key"]
