"""What `iter(dataset)` returns. Out of tracebacks it leaves what is ours, where the error is a user's: between a loop and a
function may lie twenty frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import isgeneratorfunction
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from asyncwds.bridges.loop_thread import OTHER_PROCESS
from asyncwds.errors import BridgeError
from asyncwds.pipeline.context import close_generator
from asyncwds.pipeline.description import PassState, Progress
from asyncwds.pipeline.following import Follower
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.run import Run
from asyncwds.pipeline.stage_run import is_noted
from asyncwds.runtime.dropping import finalizer
from asyncwds.runtime.worker_info import FORKS

MARK_SECONDS = 0.5
_NOTHING: Iterator[Any] = iter(())


def _refuse() -> None:
    raise BridgeError(
        "an iterator was used by several threads at once; give each an iterator of its own, or the items to them by a queue"
    ) from None


def _is_running_elsewhere(error: BaseException) -> bool:
    """Whether a generator was asked while another thread was in it: that is raised before any of its lines runs."""
    return isinstance(error, ValueError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


class Iteration(Iterator[Any]):
    """An iterator over the items of a run. Closes itself at the end, on any error, and when dropped; `close` does so at once.

    It counts in `progress`; what that has already was given elsewhere.
    """

    def __init__(
        self, run: Run, progress: Progress, describe_state: Callable[..., dict[str, Any]], follower: Follower | None = None
    ) -> None:
        # The run must not refer to this object: without a cycle, dropping the iterator after `break` closes at once.
        self._run = run
        self._items = run.items(progress) if follower is None else follower.following(run.items(progress), run, progress)
        # At the end of the process too: what is closed when modules are taken down finds nothing of what it calls.
        self._finish = finalizer(self, close_generator, self._items)
        self._follower = follower
        self._progress = progress
        self._describe_state = describe_state
        self.marks: deque[tuple[int, PassState]] = deque([(progress.items, run.state())])
        self._mark_at = 0.0
        self._after: Iterator[Any] = _NOTHING  # what it gives once it is closed
        self._forks = FORKS.number
        if progress.ended:
            self.close()

    def __next__(self) -> Any:
        # Checked for each item (30 ns), not only for each block: a child would give out the rest of the parent's block.
        if self._forks != FORKS.number:
            raise BridgeError(OTHER_PROCESS)
        try:
            item = next(self._items)
        except StopIteration:
            self._progress.ended = self._progress.ended or not self._run.closed
            self.close()
            self._require_one_thread()
            if self._follower is not None and self._progress.ended:
                follower, self._follower = self._follower, None
                follower.end()
            raise
        except BaseException as error:  # noqa: BLE001 - raised again
            if _is_running_elsewhere(error):
                self._refuse_all()
            else:
                self.close()
            self._require_one_thread()
            raise error.with_traceback(users_frames(error))  # noqa: B904 - it is the same error
        self._progress.items += 1
        return item

    def _refuse_all(self) -> None:
        """Every thread that asks is told, that one too which is in the middle of it: it would end as if exhausted."""
        self._items = self._after = iter(_refuse, None)
        self.interrupt()

    def _require_one_thread(self) -> None:
        if self._after is not _NOTHING:
            _refuse()

    def lineage(self) -> tuple[SampleTrace, ...]:
        """The samples that the latest item was made of."""
        return self._run.lineage()

    def state_dict(self) -> dict[str, Any]:
        """As the dataset's: what follows the latest item."""
        return self._describe_state(self._progress, self._run.state())

    def quiet_state(self) -> dict[str, Any]:
        """The same for a pipeline that begins with these items: it says itself what going on would cost."""
        return self._describe_state(self._progress, self._run.state(), warns=False)

    def mark(self) -> None:
        """Keeps the state now and then, for whoever takes the items later in another thread: it costs 1 % of the time."""
        began = monotonic()
        if began >= self._mark_at:
            self.marks.append((self._progress.items, self._run.state()))
            ended = monotonic()
            self._mark_at = ended + max(MARK_SECONDS, 100 * (ended - began))

    def interrupt(self) -> None:
        """Makes a `next` that waits in another thread raise BridgeError, and does not wait for anything."""
        self._run.interrupt()

    def close(self) -> None:
        """Stops the engine and waits for its end. Idempotent; afterwards the iterator is exhausted."""
        self._items = self._after
        self._run.close()
        self._finish()


PACKAGE = f"{Path(__file__).parents[1]}/"


def users_frames(error: BaseException) -> TracebackType | None:
    """The error's traceback, without our frames above the user's last one if it is from a function in a stage.

    What that last one called is left as it is. Where the error is raised again with this traceback that frame is added: the only
    one of ours that is left.
    """
    traceback = error.__traceback__
    if not is_noted(error):
        return traceback and traceback.tb_next
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    theirs = [number for number, frame in enumerate(frames) if not _is_ours(frame)]
    if not theirs:
        return frames[0].tb_next
    kept = [frames[number] for number in theirs] + frames[theirs[-1] + 1 :]
    for frame, following in zip(kept, [*kept[1:], None], strict=True):
        frame.tb_next = following
    return kept[0]


def _is_ours(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(PACKAGE)


def follow_own_iterator(kind: type) -> None:
    """Generator functions by which a class of pipelines iterates run nothing when they are called: that they were is announced."""
    for name in ("__iter__", "iterator", "iterator1"):
        if isgeneratorfunction(own := vars(kind).get(name)):
            setattr(kind, name, _announcing(own))


def _announcing(iterate: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(iterate)
    def announce(self: Any, *args: Any, **options: Any) -> Any:
        if hasattr(self, "_iterations"):  # not in one whose `__init__` is all its own
            self._iterations.announce()
        return iterate(self, *args, **options)

    return announce
