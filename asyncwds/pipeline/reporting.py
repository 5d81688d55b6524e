"""Makes a `Report` of an iteration: of what its tally has, its stages hold, and its description says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any
from weakref import ref

from asyncwds.engine.source import Source
from asyncwds.errors import SpecError
from asyncwds.pipeline import worker_stats
from asyncwds.pipeline.description import Description, Progress
from asyncwds.pipeline.worker_stats import publish_report
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.report import Report
from asyncwds.runtime.tally import Tally, added
from asyncwds.runtime.worker_info import WorkerInfo
from asyncwds.samples import Sample

REPORT_SECONDS = 1.0


def held_samples(streams: Iterable[Any]) -> int | None:
    """Those that stages have taken and not given; None where one of them does not say what it holds."""
    total = 0
    for stream in streams:
        state: Callable[[], Any] | None = getattr(stream, "state", None)
        if state is None:
            return None
        try:
            found = state()
        except SpecError:
            return None
        held = found.get("held", ()) if isinstance(found, Mapping) else ()
        total += sum([1 if isinstance(item, Sample) else len(item) for item in held])
    return total


class Reporter:
    """Of one iteration: it must not keep the run open."""

    def __init__(self, description: Description, counters: Counters, place: WorkerInfo, epoch: int) -> None:
        self._description = description
        self._counters = counters
        self.place, self.epoch = place, epoch
        self._progress = Progress(epoch)
        self._held: Callable[[], int | None] = lambda: 0
        self._first = 0
        self._taken: Callable[[], int] | None = None

    def follow(self, run: Any, progress: Progress) -> None:
        """The run, whose items are counted in `progress`."""
        account, reference = run.account, ref(run)

        def held() -> int | None:
            found = reference()
            return account.held if found is None else found.held()  # type: ignore[no-any-return]

        self._held, self._progress, self._first = held, progress, progress.items

    def follow_taken(self, count: Callable[[], int]) -> None:
        """The run is ahead of whoever takes items."""
        self._taken = count

    def report(self, *, all_taken: bool = False) -> Report:
        """With `all_taken` as it will be when all that was made has been taken."""
        self._counters.tally.catch_up()
        counters, tally, progress = self._counters, self._counters.tally, self._progress
        source = self._description.stages[0] if self._description.stages else None
        follows = self._taken is not None and not all_taken
        planned, items = tally.planned(), self._first + self._taken() if self._taken and follows else progress.items
        held, ahead = self._held_now(progress), tally.ahead() if follows else 0
        whole_list = isinstance(source, Source) and source.draw is None and source.split is None
        delivered, unaccounted = _delivered(tally, held, follows=_conserves(self._description.stages), once=whole_list)
        if ahead:
            delivered, held = added(delivered, -ahead), added(held, ahead)
        missing = sum(tally.missing.values())
        unread = 0 if tally.exhausted else None
        if planned.samples is not None:
            unread = max(0, planned.samples - tally.samples - tally.unread - missing)
        return Report(
            epoch=progress.epoch,
            workers=(self.place,),
            ended=progress.ended and items == progress.items,
            items=items,
            planned=planned.samples,
            delivered=delivered,
            skipped=tally.failed + tally.unread,
            dropped=dict(tally.dropped),
            held=held,
            unread=unread,
            missing=dict(tally.missing),
            unaccounted=unaccounted,
            repeated=tally.repeated,
            repeated_keys=counters.repeated_keys,
            reasons=dict(tally.reasons),
            skips=tuple(tally.skips),
            planned_shards=planned.shards,
            shards=tally.shards_begun + counters.shards if tally.exhausted else tally.shards,
            shards_failed=tally.shards_failed,
            listed=len(source.urls) if isinstance(source, Source) and whole_list else None,
            indexes=tuple(sorted(planned.indexes)) if planned.indexes is not None and whole_list else None,
            retries=counters.retries,
            retried=counters.retried,
        )

    def _held_now(self, progress: Progress) -> int | None:
        try:
            held = self._held()
        except RuntimeError:  # another thread has changed what was counted
            return None
        whole = self._description.items is None or progress.items < self._description.items
        return 0 if held is None and progress.ended and whole and self._counters.tally.exhausted else held


class Publisher:
    """Writes what a worker counts to its slots: the report now and then, and at the end."""

    def __init__(self, stats_slot: memoryview, report_slot: memoryview, counters: Counters, reporter: Reporter) -> None:
        self._slots = stats_slot, report_slot
        self._counters = counters
        self._reporter = reporter
        self._due = 0.0

    def __call__(self) -> None:
        stats_slot, report_slot = self._slots
        began = monotonic()
        worker_stats.publish(stats_slot, self._counters, self._reporter.place, self._reporter.epoch)
        if self._counters.ended is None and began < self._due:
            return
        publish_report(report_slot, self._reporter.report(), self._counters.started)
        ended = monotonic()
        self._due = ended + max(REPORT_SECONDS, 100 * (ended - began))


def _delivered(tally: Tally, held: int | None, *, follows: bool, once: bool) -> tuple[int | None, int | None]:
    """Samples that were delivered, and those of which nobody knows."""
    left_out = tally.failed + sum(tally.dropped.values())
    rest = None if held is None else tally.samples - left_out - held
    if tally.delivered is None:
        return (rest, 0) if follows else (None, None)
    # A shard that is drawn twice comes twice.
    delivered = tally.delivered if once else tally.delivered + (tally.repeated or 0)
    return delivered, None if rest is None else max(0, rest - delivered)


def _conserves(stages: tuple[Any, ...]) -> bool:
    """Whether each sample that goes in comes out, or is counted."""
    return all(_counts(stage) for stage in stages[1:])


def _counts(stage: Any) -> bool:
    """A stage of another form is a function of the users', also where the object that has it is ours."""
    own = type(stage).__module__.startswith("asyncwds.") and hasattr(stage, "open")
    return own and not hasattr(stage, "replays") and not getattr(stage, "takes_apart", False)
