"""What became of the samples of an iteration while it runs: `Tally`, of which a `Report` is made.

Nothing is done for a sample that is delivered: those are what is left of those that were read when all others are counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from asyncwds.errors import SpecError, redact
from asyncwds.formatting.texts import show_value

MOST_SKIPS = 1000  # of which it is kept where they were; others are counted
READING = "reading"  # the stage that reads shards
MOST_PLANNED = 100_000  # shards of a plan that are gone through to count them


class Skip(NamedTuple):
    """What was left out because of an error: `reason` is its type, `stage` the one that it was in, "reading" before all others.

    `samples` are what that cost: 0 where a sample lacks a field, None where a shard ended early and nobody knows what it had.
    """

    reason: str
    stage: str
    url: str | None = None
    offset: int | None = None
    key: str | None = None
    samples: int | None = 1


class Plan(NamedTuple):
    """What a pass is to read, for whoever asks: the shards, by index and url, and how many samples of each, if that is known.

    Where whole shards are read, `samples_of` one of them are so many; `counted` is False where that is not known of any.
    """

    shards: Callable[[], Iterable[tuple[int, str, int | None]]]
    samples_of: Callable[[str], int | None]
    counted: bool


class Planned(NamedTuple):
    """Shards of passes, and their samples; None where that is not known. `indexes` are theirs in the list."""

    shards: int | None = 0
    samples: int | None = 0
    indexes: tuple[int, ...] | None = ()

    def plus(self, other: Planned) -> Planned:
        both = None if self.indexes is None or other.indexes is None else self.indexes + other.indexes
        return Planned(added(self.shards, other.shards), added(self.samples, other.samples), both)


UNKNOWN_PLAN = Planned(None, None, None)


def added(one: int | None, other: int | None) -> int | None:
    """None, which is not known, stays None."""
    return None if one is None or other is None else one + other


def no_samples() -> int:
    """Of a block, where none is in hand."""
    return 0


class Tally:
    """Written by the thread that takes the items. Between two of these it adds up."""

    def __init__(self) -> None:
        self.taken = 0  # samples that the pipeline took of shards, without the block in hand
        self.in_hand: Callable[[], int] = no_samples  # those of that block
        self.failed = 0  # of these, those of which a handler was asked
        self.dropped: dict[str, int] = {}  # and those that a stage left out, by its name
        self.reasons: dict[str, int] = {}
        self.skips: list[Skip] = []
        self.faulty: set[str] = set()  # urls of shards with an error
        self.unread = 0  # samples that shards with an error lacked in the end, as far as that is known
        self.missing: dict[str, int] = {}  # the same of shards without an error; below 0 where there were more than planned
        self.shards = 0  # of which all samples were taken
        self.shards_begun = 0  # and read to their end in an iteration that this one goes on with
        self.shards_failed = 0
        self.before_samples: frozenset[str] = frozenset()  # stages that work on shards
        self.delivered: int | None = None  # where they are counted one by one
        self.repeated: int | None = None
        self.catch_up: Callable[[], object] = no_samples  # counts those that wait for it
        self.ahead = no_samples  # delivered ones that whoever takes the items has not taken yet
        self.exhausted = False  # the latest pass has read all of its shards
        self.epoch = 0  # of the pass, as contexts count it
        self._left_out = array("q")  # by `skip`: of each sample that epoch, the index of the shard, the ordinal
        self._open: dict[int, tuple[str, int]] = {}  # url and samples taken, by place in the plan
        self._seen: set[str] | None = set()  # of the pass, where it is known how many samples shards have; None in a resumed one
        self._plan: Plan | None = None
        self._planned: Planned | None = None
        self._earlier = Planned()

    @property
    def samples(self) -> int:
        return self.taken + self.in_hand()

    # -- shards

    def begin_pass(self, plan: Plan | None, begun: Sequence[tuple[int, str, int]] | None = None, entered: int = 0) -> None:
        """With what it is to read; None is not known.

        In one that is gone on with `entered` shards were begun, of which some are open: place in the plan, url, samples taken.
        """
        self._earlier = self.planned()
        self._plan, self._planned = plan, None if plan is not None else UNKNOWN_PLAN
        self._seen, self.exhausted = set() if begun is None else None, False
        self._open = {sequence: (url, samples) for sequence, url, samples in begun or ()}
        if begun is not None:
            self.shards_begun = entered - len(begun) - self.shards_failed

    def draw(self) -> None:
        """One more shard, where the plan is known as far as it is drawn."""
        drawn = self._planned or Planned()
        if drawn.shards is None:
            drawn = Planned(0, None, None)
        self._planned = drawn._replace(shards=(drawn.shards or 0) + 1, indexes=None, samples=None)

    def take(self, sequence: int, url: str, samples: int, *, ends: bool) -> None:
        self.taken += samples
        before = self._open.get(sequence)
        self._open[sequence] = url, samples if before is None else before[1] + samples
        if ends:
            self.shards += 1
            self._finish(sequence)

    def end_pass(self) -> None:
        """All of its shards were read."""
        self.exhausted = True
        for sequence in list(self._open):
            self._finish(sequence)
        if self._seen is not None and self._plan is not None and self._plan.counted:
            for _, url, _ in self._plan.shards():
                if url not in self._seen:  # it had no sample
                    self._lack(url, self._plan.samples_of(url) or 0)

    def _finish(self, sequence: int) -> None:
        url, samples = self._open.pop(sequence)
        planned = None if self._plan is None else self._plan.samples_of(url)
        if planned is not None:
            if self._seen is not None:
                self._seen.add(url)
            self._lack(url, planned - samples)

    def _lack(self, url: str, samples: int) -> None:
        if not samples:
            return
        if redact(url) in self.faulty and samples > 0:
            self.unread += samples
        else:
            self.missing[redact(url)] = self.missing.get(redact(url), 0) + samples

    def planned(self) -> Planned:
        """Of all passes that have begun."""
        if self._planned is None:
            self._planned = Planned() if self._plan is None else _count(self._plan)
        return self._earlier.plus(self._planned)

    # -- samples

    def note(self, skip: Skip) -> None:
        name = f"{skip.reason} in {skip.stage}"
        self.reasons[name] = self.reasons.get(name, 0) + 1
        if len(self.skips) < MOST_SKIPS:
            self.skips.append(skip._replace(url=None if skip.url is None else redact(skip.url)))

    def fail_reading(self, error: Exception, *, whole_shard: bool) -> None:
        url: str | None = getattr(error, "url", None)
        self.faulty.update([] if url is None else [url])
        samples = None if whole_shard else int(type(error).__name__ == "RepeatedKeyError")
        self.unread += samples or 0
        if whole_shard:
            self.shards_failed += 1
            for sequence in [each for each, (opened, _) in self._open.items() if redact(opened) == url]:
                self._finish(sequence)
        self.note(Skip(type(error).__name__, READING, url, getattr(error, "offset", None), getattr(error, "key", None), samples))

    def fail(self, error: Exception, stage: str, samples: Iterable[tuple[str | None, str | None, Any]]) -> None:
        """Of an item that was made of these: url, key and origin of each."""
        if stage in self.before_samples:
            return
        reason = type(error).__name__
        for url, key, origin in samples:
            self.failed += 1
            self.note(Skip(reason, stage, url, None if origin is None else origin[2], key))

    def leave_out(self, url: str, key: str, origin: tuple[int, int, int]) -> None:
        """A sample that is not wanted, whatever it is."""
        self.failed += 1
        self.note(Skip("skip", READING, url, origin[2], key))
        self._left_out.extend((self.epoch, *origin[:2]))

    @property
    def left_out(self) -> int:
        """Samples that were left out here."""
        return len(self._left_out) // 3

    def left_out_since(self, number: int) -> list[tuple[int, int, int]]:
        """Those behind the first `number` of them."""
        numbers = iter(self._left_out[3 * number :])
        return list(zip(numbers, numbers, numbers, strict=True))

    def drop(self, stage: str, samples: int) -> None:
        if stage not in self.before_samples:
            self.dropped[stage] = self.dropped.get(stage, 0) + samples

    # -- states

    def settle(self) -> None:
        """At the end of a pass: keeps nothing of the engine."""
        self.taken += self.in_hand()
        self.in_hand = no_samples

    def as_json(self) -> dict[str, Any]:
        """What an iteration begins with that goes on from here."""
        self.catch_up()
        return {
            "taken": self.samples,
            "failed": self.failed,
            "dropped": dict(self.dropped),
            "reasons": dict(self.reasons),
            "unread": self.unread,
            "missing": dict(self.missing),
            "shards": self.shards,
            "delivered": self.delivered,
            "repeated": self.repeated,
            "shards_failed": self.shards_failed,
        }

    def restore(self, state: Any) -> None:
        """Goes on where an iteration stood: `state` is a `PassState`."""
        known = self.as_json()
        for name, value in (state.tally or {}).items() if state.stages is not None else ():
            if name not in known or not _is_like(value, known[name]):
                raise SpecError(f"the state is damaged: pass.tally.{name} is {show_value(value)}")
            setattr(self, name, dict(value) if isinstance(value, Mapping) else value)
        if state.number:
            self._earlier = UNKNOWN_PLAN


def _is_like(value: Any, known: Any) -> bool:
    """A number, or numbers by name; some are not known."""
    if isinstance(known, dict):
        return isinstance(value, dict) and all(type(number) is int for number in value.values())
    return type(value) is int or (value is None and known is None)


def _count(plan: Plan) -> Planned:
    indexes: list[int] = []
    samples = 0
    known = True
    try:
        for index, _, found in plan.shards():
            if len(indexes) == MOST_PLANNED:
                return UNKNOWN_PLAN
            indexes.append(index)
            known = known and found is not None
            samples += found or 0
    except Exception:  # noqa: BLE001 - what a splitter raises is raised where shards are read
        return UNKNOWN_PLAN
    return Planned(len(indexes), samples if known else None, tuple(indexes))
