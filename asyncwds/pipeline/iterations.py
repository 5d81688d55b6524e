"""The iterations of one pipeline in this process: their epochs, what the latest counted, and how far it has come."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakSet, ref

from asyncwds.errors import ResumeWarning
from asyncwds.pipeline import worker_stats
from asyncwds.pipeline.description import Description, PassState, Progress
from asyncwds.pipeline.epoch_counter import EpochCounter
from asyncwds.pipeline.fingerprint import skips_in
from asyncwds.pipeline.following import Follower
from asyncwds.pipeline.iteration import Iteration
from asyncwds.pipeline.reporting import Publisher, Reporter
from asyncwds.pipeline.run import Account, Recent, Run
from asyncwds.pipeline.state_changes import StateChanges
from asyncwds.pipeline.states import State, as_state, reasons
from asyncwds.pipeline.within import Within
from asyncwds.pipeline.worker_stats import latest_report
from asyncwds.runtime.counters import Counters
from asyncwds.runtime.report import Report
from asyncwds.runtime.state_changes import READ_AGAIN, StateChange
from asyncwds.runtime.stats import Stats
from asyncwds.runtime.tally import Tally
from asyncwds.runtime.tracing import FOLDER, recorder_for
from asyncwds.runtime.worker_info import WorkerInfo, in_torch_worker


@dataclass(frozen=True)
class _Ran:
    """An iteration that has begun. It is not kept: what is dropped is closed."""

    seed: int
    place: WorkerInfo
    account: Account
    run: ref[Run]
    first_items: int
    base: Mapping[str, Any] | None
    tally: Tally


class Iterations:
    """A pickle has the number of the next one, and the progress that it begins with; so has a copy, which counts by itself."""

    def __init__(self, epochs: EpochCounter | None = None, resumed: State | None = None) -> None:
        self._epochs = epochs or EpochCounter()
        self._resumed = resumed  # with which the next one begins
        self._counters: Counters | None = None
        self._reporter: Reporter | None = None
        self._follower: Follower | None = None
        self._running: WeakSet[Iteration] = WeakSet()
        self._latest: tuple[Progress, _Ran | None] | None = None
        self._warned: set[str] = set()
        self._changes: StateChanges | None = None
        self._recent: tuple[Recent, int, dict[str, Any]] | None = None
        self._ahead: tuple[Callable[[], int], deque[tuple[int, PassState]]] | None = None

    def start(self, description: Description, describe: Callable[[], dict[str, Any]], within: Within | None = None) -> Run:
        if in_torch_worker():
            from asyncwds.parallel.processes import end_after_parent  # noqa: PLC0415 - few need it

            end_after_parent()
        epoch, place = self._epochs.begin()
        self._counters = Counters(recorder_for(f"epoch {epoch}", place) if FOLDER in os.environ else None)
        slots = self._epochs.slot(place)
        self._reporter = reporter = Reporter(description, self._counters, place, epoch)
        publish = None if slots is None else Publisher(*slots, self._counters, reporter)
        if self._resumed is not None and self._resumed.progress.epoch != epoch:
            self._resumed = None  # it was gone on with elsewhere: by a worker that came before this one
        resumed = self._resumed
        if resumed is not None and resumed.unskipped:
            description = replace(description, skip=None)
        if resumed is None:
            run = Run(description, epoch, place, self._counters, publish, within=within)
        else:
            resumed.require_place(place)
            ended = resumed.progress.ended
            passes = resumed.passes if ended else _settled(resumed, description, place, describe)
            run = Run(description, epoch, place, self._counters, publish, passes, resumed.base, ended=ended, within=within)
        ledger = description.ledger
        self._follower = None if ledger is None else Follower(ledger, self._counters.tally, reporter, description.seed)
        return run

    def iterate(self, started: Run, describe: Callable[[], dict[str, Any]]) -> Iteration:
        progress = Progress(started.epoch) if self._resumed is None else self._resumed.progress
        ran = _Ran(started.seed, started.place, started.account, ref(started), progress.items, started.base, started.tally)
        if self._reporter is not None:
            self._reporter.follow(started, progress)
        self._latest, self._resumed, self._ahead, self._changes, self._recent = (progress, ran), None, None, None, None
        iteration = Iteration(started, progress, partial(self._as_dict, ran, describe), self._follower)
        self._running.add(iteration)
        return iteration

    def state_change(self, seed: int, describe: Callable[[], dict[str, Any]]) -> StateChange:
        """What the item that the latest one gave last has changed."""
        progress, ran = self._latest or (None, None)
        if progress is None or ran is None:
            return StateChange(self.state_dict(seed, describe))
        run = ran.run()
        self._changes = self._changes or StateChanges()
        return self._changes.after(
            progress,
            lambda: ran.account.latest if run is None else run.state(),
            lambda passes: as_state(State(ran.seed, progress, passes, ran.place, ran.base), describe()),
            tally=ran.tally,
            drops_right=run is not None and run.drops_right,
            weight_changes=0 if run is None else run.weight_changes,
        )

    def _as_dict(
        self,
        ran: _Ran,
        describe: Callable[[], dict[str, Any]],
        progress: Progress,
        passes: PassState,
        *,
        warns: bool = True,
    ) -> dict[str, Any]:
        if warns:
            self._warn(passes)
        if self._follower is not None:
            self._follower.flush()
        return as_state(State(ran.seed, progress, passes, ran.place, ran.base), describe())

    def _warn(self, passes: PassState) -> None:
        """Once about each reason."""
        for reason, reads_shards in reasons(passes):
            if reason not in self._warned:
                self._warned.add(reason)
                if reads_shards:
                    warnings.warn(f"{reason}: {READ_AGAIN}", ResumeWarning, stacklevel=4)

    def follow(self, marks: deque[tuple[int, PassState]], count: Callable[[], int]) -> Callable[[], None] | None:
        """The latest iteration runs ahead, in another thread: `count` tells how many items were taken from there.

        What follows the last of these is what follows a mark, but for the items since. Returns what is called when no more will be
        taken.
        """
        self._ahead = count, marks
        for told in (self._reporter, self._follower):
            if told is not None:
                told.follow_taken(count)
        return None if self._follower is None else self._follower.flush

    def _ahead_state(self, ran: _Ran, progress: Progress) -> tuple[Progress, PassState] | None:
        if self._ahead is None:
            return None
        count, marks = self._ahead
        items = ran.first_items + count()
        while len(marks) > 1 and marks[1][0] <= items:
            marks.popleft()
        before, state = marks[0]
        since = items - before
        left_out = ran.tally.left_out_since(0)  # perhaps more than on the way to this item, which is no matter
        passes = replace(state, items=state.items + since, skip=state.skip + since if state.stages is not None else 0)
        passes = replace(passes, left_out=[*state.left_out, *left_out]) if since else passes
        return Progress(progress.epoch, items, progress.ended and items == progress.items), passes

    def announce(self) -> None:
        """Of one that will begin when its first item is asked for: a state that is taken before is of its beginning."""
        self._latest = Progress(self._epochs.upcoming()) if self._resumed is None else self._resumed.progress, None

    def interrupt(self) -> None:
        for iteration in tuple(self._running):
            iteration.interrupt()

    def close(self) -> None:
        for iteration in tuple(self._running):
            iteration.close()

    def set_epoch(self, epoch: int) -> None:
        """The number of the next one, here and in workers. Positions in another epoch mean nothing in it, and are dropped."""
        self._epochs.set(epoch)
        resumed = self._resumed
        if resumed is None or resumed.progress.epoch == epoch:
            return
        self._resumed = None
        if (resumed.progress.items or resumed.passes.has_begun or resumed.base) and not resumed.progress.ended:
            warnings.warn(
                f"set_epoch({epoch}) drops the state of epoch {resumed.progress.epoch}, which was not at its end: "
                "its rest does not come. Call set_epoch before load_state_dict, or with the number of the state's epoch",
                ResumeWarning,
                stacklevel=3,
            )

    def state_dict(self, seed: int, describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """How far the latest has come."""
        if self._resumed is not None:
            return as_state(self._resumed, describe())
        progress, ran = self._latest or (Progress(self._epochs.upcoming()), None)
        if ran is None:
            return as_state(State(seed, progress), describe())
        if (ahead := self._ahead_state(ran, progress)) is not None:
            return self._as_dict(ran, describe, *ahead)
        run = ran.run()
        if run is None:
            return self._as_dict(ran, describe, progress, ran.account.latest)
        if (found := self._since_recent(run, progress)) is None:
            found = self._as_dict(ran, describe, progress, run.state())
            self._recent = None if (recent := run.recent()) is None else (recent, progress.items, found)
        return found

    def _since_recent(self, run: Run, progress: Progress) -> dict[str, Any] | None:
        """The state that was given last, and the items since then, where the run says no more: what is asked for often is cheap."""
        if self._recent is None or self._recent[0] is not run.recent() or self._follower is not None:
            return None
        _, before, state = self._recent
        since, passes = progress.items - before, state["pass"]
        counted = {"items": passes["items"] + since, "skip": passes["skip"] + since}
        return {**state, "items": progress.items, "pass": {**passes, **counted}}

    def beginning(self, seed: int, describe: Callable[[], dict[str, Any]], workers: int) -> dict[str, Any]:
        """The state of one that so many workers are to begin."""
        return as_state(self._resumed or State(seed, Progress(self._epochs.upcoming(workers))), describe())

    def resume(self, state: State) -> None:
        """The next one is the rest of the one that has come so far."""
        self._epochs.set(state.progress.epoch)
        self._latest, self._resumed = None, state if state.has_begun else None

    def report(self) -> Report:
        """What became of the samples of the latest, here or in workers."""
        counters = self._counters
        of_workers = latest_report([slot for _, slot in self._epochs.slots()])
        if of_workers is not None and (counters is None or counters.started < of_workers[0]):
            return of_workers[1]
        return Report() if self._reporter is None else self._reporter.report()

    def stats(self) -> Stats:
        """What the latest counted, here or in workers."""
        counters, of_workers = self._counters, worker_stats.latest([slot for slot, _ in self._epochs.slots()])
        if of_workers is not None and (counters is None or counters.started < of_workers.started):
            return of_workers.stats
        return Stats() if counters is None else counters.snapshot()

    def __copy__(self) -> Iterations:
        return Iterations(self._epochs.copy(), deepcopy(self._resumed))

    def __reduce__(self) -> tuple[Any, ...]:
        return Iterations, (self._epochs, self._resumed)


def _settled(resumed: State, description: Description, place: WorkerInfo, describe: Callable[[], dict[str, Any]]) -> PassState:
    """What an iteration goes on from that leaves out others than the one before."""
    if not resumed.drops_items or resumed.unskipped:
        return resumed.passes
    from asyncwds.pipeline.settling import settled_for  # noqa: PLC0415 - few need it

    own = skips_in(describe())
    saved = resumed.skips or [None] * len(own)
    return settled_for(description, resumed.progress.epoch, place, resumed.passes, resumed.base, saved, own)
