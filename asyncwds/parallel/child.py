"""What runs in a process of a loader: the whole pipeline, iteration after iteration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from asyncwds.parallel import failures
from asyncwds.parallel.outbox import Outbox, OutboxClosed
from asyncwds.parallel.processes import end_with_parent, ignore_interrupts
from asyncwds.parallel.segments import Ring
from asyncwds.runtime.batch_memory import LENDER
from asyncwds.runtime.state_changes import State, change_of, load


@dataclass(frozen=True)
class Job:
    """What a process is to do."""

    dataset: Iterable[Any]
    worker: int
    workers: int
    prefetch: int
    ring: Ring
    initialize: Callable[[int], Any] | None
    states: Sequence[State | None] = ()  # that the processes go on from
    strict: bool = True


def work(job: Job, messages: Connection, commands: Connection, inherited: list[Connection]) -> None:
    """The process. `inherited` are ends of pipes that a forked one has, and must close."""
    ignore_interrupts()
    for connection in inherited:
        connection.close()
    end_with_parent()
    os.environ["WORKER"], os.environ["NUM_WORKERS"] = str(job.worker), str(job.workers)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # as DataLoader does: its pool would take the cores that the training is to have
    outbox = Outbox(messages, commands, job.prefetch, job.ring)
    LENDER.set(outbox.slots)
    first: list[Callable[[], Any]] = [partial(_load, job)]
    if job.initialize is not None:
        first.append(partial(job.initialize, job.worker))
    with suppress(OutboxClosed):  # nobody wants more
        while outbox.begin():
            _iterate(job.dataset, outbox, first)


def _load(job: Job) -> None:
    state = job.states[job.worker] if job.states else None
    if state is not None:
        load(job.dataset, state, strict=job.strict)


def _iterate(dataset: Iterable[Any], outbox: Outbox, first: list[Callable[[], Any]]) -> None:
    """One iteration; what stands in `first` is done before the first one."""
    try:
        while first:
            first.pop()()
        with _closing(iter(dataset)) as items:
            for item in items:
                if not outbox.deliver((item, change_of(dataset))):
                    return
        outbox.finish(change=change_of(dataset))
    except OutboxClosed:
        raise
    except Exception as error:  # noqa: BLE001 - it belongs to the consumer, who raises it
        outbox.finish(failures.pickled(error))


def _closing(iterator: Iterator[Any]) -> Any:
    return closing(iterator) if hasattr(iterator, "close") else nullcontext(iterator)
