"""A process of a loader, seen from the one that iterates."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.reduction import recv_handle
from time import monotonic
from typing import Any

from asyncwds.errors import SpecError, WdsError
from asyncwds.formatting.texts import show_value
from asyncwds.parallel import failures
from asyncwds.parallel.child import Job, work
from asyncwds.parallel.messages import Batch, End, Op, receive_message, send_command
from asyncwds.parallel.processes import interrupts_blocked
from asyncwds.parallel.segments import map_segment
from asyncwds.parallel.slots import Pages, Slots

PATIENCE = 1.0  # [s] for processes to end after they were told to, before they are killed


@dataclass
class Worker:
    """One process, with its two connections and its slots."""

    number: int
    process: Any
    messages: Connection
    commands: Connection
    slots: Slots
    has_answered: bool = False

    def begin(self, run: int) -> None:
        self._command(Op.BEGIN, run)

    def stop(self) -> None:
        self._command(Op.STOP)

    def receive(self, run: int) -> Batch | End | None:
        """The next message of this iteration; None for one of another, or where the process has ended."""
        try:
            message = receive_message(self.messages)
            self.has_answered = True
            if isinstance(message, Batch) and message.is_new:
                self.slots.map(message.slot, map_segment(recv_handle(self.messages)))
        except (EOFError, OSError):
            raise self.death() from None
        if message.run == run:
            return message
        if isinstance(message, Batch):
            self.slots.drop(message)
        return None

    def take(self, message: Batch) -> Any:
        item = self.slots.take(message)
        self._command(Op.TAKE)
        return item

    def death(self) -> WdsError:
        self.process.join(PATIENCE)
        return failures.death(self.process.name, self.process.pid, self.process.exitcode, has_started=self.has_answered)

    def quit(self) -> None:
        self._command(Op.QUIT)

    def _command(self, op: Op, number: int = 0) -> None:
        _send(self.commands, op, number)

    def close(self) -> None:
        """Of a process that has ended."""
        self.process.join()
        self.process.close()
        self.messages.close()
        self.commands.close()
        self.slots.close()


def end_workers(workers: list[Worker]) -> None:
    """Asks the processes to end, and then makes them. What they are doing may take longer than anybody wants to wait."""
    for worker in workers:
        worker.quit()
    for stop in ("terminate", "kill"):
        until = monotonic() + PATIENCE
        for worker in workers:
            worker.process.join(max(0.0, until - monotonic()))
        for worker in workers:
            if worker.process.exitcode is None:
                getattr(worker.process, stop)()
    for worker in workers:
        worker.close()


def _send(commands: Connection, op: Op, number: int) -> None:
    with suppress(OSError):  # it has ended, which its sentinel says; or it was closed, and a batch outlived it
        send_command(commands, op, number)


def start_worker(context: BaseContext, job: Job, earlier: list[Worker], pages: Pages | None) -> Worker:
    """Raises SpecError where the dataset cannot be sent to the process, or where none can be started."""
    messages, sending = context.Pipe()
    receiving, commands = context.Pipe(duplex=False)
    # A forked process has the ends here of its own pipes and of those before; it must close them, to learn that we are gone.
    ends = [messages, commands, *[end for worker in earlier for end in (worker.messages, worker.commands)]]
    inherited = ends if context.get_start_method() == "fork" else []
    process: Any = context.Process(  # type: ignore[attr-defined]
        target=work, args=(job, sending, receiving, inherited), name=f"loader process {job.worker}", daemon=True
    )
    with sending, receiving:
        try:
            _start(process, job)
        except BaseException:
            messages.close()
            commands.close()
            raise
    return Worker(job.worker, process, messages, commands, Slots(partial(_send, commands, Op.FREE), pages))


def _start(process: Any, job: Job) -> None:
    try:
        with interrupts_blocked():
            process.start()
    except WdsError:  # settings that refuse to be pickled
        raise
    except Exception as error:
        if "bootstrapping" in str(error):  # multiprocessing's, in a process that imports the script
            raise SpecError(f"a process of a loader is to start others: {failures.MAIN}") from error
        raise SpecError(
            f"no process could be started for {show_value(job.dataset)}: {type(error).__name__}: {error}; it is sent the dataset, "
            "which must be picklable, of functions of a module and no lambdas or inner functions; start_method='fork' sends nothing"
        ) from error
