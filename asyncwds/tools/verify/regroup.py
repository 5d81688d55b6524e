"""Members into samples that stand together, each with a key of its own, under names that all readers take. Compares bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from asyncwds.tar.grouping import base_plus_ext, is_meta
from asyncwds.tar.raw import RawMember, RawSample
from asyncwds.tools.verify.salvage import Damage, Found, Salvaged, field_of

COPY, INCOMPLETE, UNREADABLE = "a copy of another one with its key", "incomplete: a member of it is lost", "lost in damaged bytes"


class Drop(NamedTuple):
    """What is not in the repaired shard, and why. `samples` is 0 for bytes of which it is not known what they were."""

    url: str
    key: str | None
    offset: int
    reason: str
    detail: str
    samples: int = 1


@dataclass(eq=False)
class Group:
    """A sample: `members` in their order, with those of no sample that stood between or before them; and by field.

    pieces  so many had stood apart
    lost    why it is incomplete
    name    the key to write it with; None for a copy
    """

    key: str
    offset: int
    members: list[RawMember] = field(default_factory=list)
    fields: dict[str, RawMember] = field(default_factory=dict)
    pieces: int = 1
    lost: str | None = None
    name: str | None = None

    def strays(self) -> list[RawMember]:
        return [member for member in self.members if not member.field]


Groups = dict[str, list[Group]]


@dataclass
class Plan:
    """What to write, in order, and what not; `repaired` counts what was done, by rule."""

    samples: list[RawSample] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    repaired: Counter[str] = field(default_factory=Counter)


def plan_repair(salvaged: Salvaged, url: str, shard: int) -> Plan:
    """Members of a sample are put together; a sample that lost a member, and a copy, is dropped; others with the same key get
    one of their own.
    """
    plan = Plan()
    found = [Found(_with_good_name(each.member, plan.repaired), each.offset) for each in salvaged.members]
    groups, trailing = _gather(found)
    ordered = sorted((group for slots in groups.values() for group in slots), key=lambda group: group.offset)
    plan.repaired["W10"] += sum(group.pieces - 1 for group in ordered)
    plan.drops += [_describe(damage, url, groups) for damage in salvaged.damages]
    _mark_incomplete(salvaged, found, groups)
    _choose_names(groups, plan.repaired)
    strays: list[RawMember] = []
    for ordinal, group in enumerate(ordered):
        if group.name is not None:
            members = (*strays, *_members(group, group.name))
            plan.samples.append(RawSample(group.name, url, shard, ordinal, group.offset, members))
            strays = []
            continue
        strays += group.strays()
        reason, detail = (INCOMPLETE, group.lost) if group.lost else (COPY, f"{', '.join(group.fields)}: the same bytes")
        plan.drops.append(Drop(url, group.key, group.offset, reason, detail))
    _keep_strays(plan, [*strays, *trailing], url)
    return plan


def good_name(name: str) -> str:
    """Relative, without '..', the extension in lower case."""
    parts = name.split("/")
    if ".." in parts or not parts[0]:
        name = "/".join([part for part in parts if part not in ("..", "")]) or name
    key, suffix = base_plus_ext(name)
    return name if key is None or suffix is None or is_meta(name) else f"{key}.{suffix.lower()}"


def _with_good_name(member: RawMember, repaired: Counter[str]) -> RawMember:
    name = good_name(member.name)
    if name == member.name:
        return member
    repaired["W21" if name.lower() == member.name.lower() else "W20"] += 1
    return member.renamed(name, field_of(name))


def _gather(found: Iterable[Found]) -> tuple[Groups, list[RawMember]]:
    """Samples by key, and what stands behind the last one. Members that stand together go to the first sample that lacks the field;
    pieces that stand apart belong together if no field is in both.
    """
    groups: Groups = {}
    strays: list[RawMember] = []
    for key, run in groupby(_without_strays(found, strays), key=lambda each: _key(each.member.name)):
        here: list[Group] = []
        for member, offset in run:
            group = next((group for group in here if member.field not in group.fields), None)
            if group is None:
                group = Group(key, offset)
                here.append(group)
            group.fields[member.field] = member
            group.members += [*strays, member]
            strays.clear()
        for group in here:
            _merge(groups.setdefault(key, []), group)
    return groups, strays


def _without_strays(found: Iterable[Found], strays: list[RawMember]) -> Iterator[Found]:
    for each in found:
        if each.member.field:
            yield each
        else:
            strays.append(each.member)


def _key(name: str) -> str:
    return base_plus_ext(name)[0] or ""


def _merge(slots: list[Group], piece: Group) -> None:
    for group in slots:
        if group.fields.keys().isdisjoint(piece.fields):
            group.fields |= piece.fields
            group.members += piece.members
            group.pieces += 1
            return
    slots.append(piece)


def _describe(damage: Damage, url: str, groups: Groups) -> Drop:
    key = None if damage.cut is None else _key(good_name(damage.cut))
    unseen = key is not None and key not in groups
    return Drop(url, key, damage.start, UNREADABLE, f"{damage.message}; {damage.stop - damage.start} bytes", int(unseen))


def _mark_incomplete(salvaged: Salvaged, found: list[Found], groups: Groups) -> None:
    """Samples that lost a member: those of which one is cut; and where it is not known which, those beside the damage that lack
    fields which most samples of the shard have.
    """
    sets = Counter(frozenset(group.fields) for slots in groups.values() for group in slots)
    usual = max(sets, key=lambda fields: (sets[fields], len(fields)), default=frozenset[str]())
    for damage in salvaged.damages:
        if damage.cut is None:
            _suspect(found[max(0, damage.place - 1) : damage.place + 1], groups, usual)
        else:
            for group in groups.get(_key(good_name(damage.cut)), [])[-1:]:
                group.lost = f"{damage.cut[:200]!r} is cut"
    if salvaged.ends_early and not salvaged.damages:
        _suspect(found[-1:], groups, usual)


def _suspect(beside: Iterable[Found], groups: Groups, usual: frozenset[str]) -> None:
    for member, _ in beside:
        for group in groups.get(_key(member.name), []):
            lacking = sorted(usual - group.fields.keys())
            if group.fields.get(member.field) is member and lacking:
                group.lost = f"beside the damage, and without {', '.join(lacking)}"


def _choose_names(groups: Groups, repaired: Counter[str]) -> None:
    """A key for each sample that is no copy."""
    taken = set(groups)
    for key, slots in groups.items():
        kept: list[Group] = []
        for group in sorted((group for group in slots if group.lost is None), key=lambda group: -len(group.fields)):
            if any(_is_copy(group, other) for other in kept):
                repaired["W11"] += 1
            else:
                kept.append(group)
        for number, group in enumerate(sorted(kept, key=lambda group: group.offset)):
            group.name = _free(key, taken) if number else key
            repaired["W11"] += bool(number)


def _free(key: str, taken: set[str]) -> str:
    name = next(name for number in range(1, len(taken) + 2) if (name := f"{key}-{number}") not in taken)
    taken.add(name)
    return name


def _is_copy(group: Group, other: Group) -> bool:
    same_sizes = all(name in other.fields and member.size == other.fields[name].size for name, member in group.fields.items())
    return same_sizes and all(member.read() == other.fields[name].read() for name, member in group.fields.items())


def _members(group: Group, key: str) -> list[RawMember]:
    if key == group.key:
        return group.members
    return [
        member.renamed(key + member.name[len(group.key) :], member.field) if member.field else member for member in group.members
    ]


def _keep_strays(plan: Plan, strays: list[RawMember], url: str) -> None:
    """Those behind the last sample are written with it."""
    if strays and plan.samples:
        last = plan.samples[-1]
        plan.samples[-1] = last._replace(members=(*last.members, *strays))
    elif strays:
        plan.drops += [Drop(url, None, 0, "no sample to write it with", member.name[:200], 0) for member in strays]
