"""Calls that block, made in threads.

Each owner (a fetcher, a cache, a writer) has a pool of its own, which ends with it: a call that waits for another in the same pool
may take the thread that the other needs, and calls of one kind should not wait for the slow ones of another.

What starts no thread imports neither asyncio nor executors, which take 30 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from asyncwds.errors import WdsError
from asyncwds.runtime.process import explain, make_loop

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

P = ParamSpec("P")
T = TypeVar("T")

_SLICE = 1.0  # [s]


class BlockingPool:
    """At most `threads` threads, which start when they are first needed and end with `close`; with a single one, calls are made in
    the order in which they came. `purpose` is in their names.

    Used on one event loop at a time, after a `close` too. A call must not wait for another one in the same pool.
    """

    def __init__(self, purpose: str, threads: int = 1) -> None:
        self._purpose = purpose
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """For what is to be done when the call ends, in its thread, whoever still waits for it then: `add_done_callback`."""
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - heavy, as below

            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix=f"asyncwds-{self._purpose}")
        return self._executor.submit(function, *args, **kwargs)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns. If this is cancelled, a call that has not begun is not made; one that has goes on."""
        import asyncio  # noqa: PLC0415 - as above

        return await asyncio.wrap_future(self.submit(function, *args, **kwargs))

    async def run_to_end(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a call whose outcome must not be lost, such as a lock that it takes: a cancellation waits for its end."""
        import asyncio  # noqa: PLC0415 - as above

        from asyncwds.runtime.event_loop import run_to_completion  # noqa: PLC0415 - as above

        return await run_to_completion(asyncio.wrap_future(self.submit(function, *args, **kwargs)))

    def close(self, *, wait: bool = True, drop_waiting: bool = False) -> None:
        """Waits for the calls under way, since their threads would outlive the loop. Idempotent.

        wait          False: the threads end by themselves, when their calls have come back
        drop_waiting  calls that have not begun are not made
        """
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=wait, cancel_futures=drop_waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def wait_until_done(*futures: Future[T]) -> set[Future[T]]:
    """Waits until one of them is done, and gives those that are.

    In slices: a signal that comes when the main thread is about to wait interrupts nothing, and its handler would run after the
    wait. Of Ctrl-Cs just when a thread was started, 2 of 12 were held up so.
    """
    from concurrent.futures import wait  # noqa: PLC0415 - as above

    while True:
        if done := wait(futures, timeout=_SLICE, return_when="FIRST_COMPLETED").done:
            return done


def run_on_own_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Waits for a coroutine, in a thread with a loop of its own: one may run in this thread. Ctrl-C cancels it."""
    from concurrent.futures import Future  # noqa: PLC0415 - as above

    wanted: Future[None] = Future()
    with BlockingPool("loop") as thread:
        try:
            (done,) = wait_until_done(thread.submit(_run, wanted, work))
            try:
                return done.result()
            finally:
                del done  # an error of its leads here: in a circle they would keep open what the caller has open
        except BaseException:
            wanted.cancel()
            raise


def _run(wanted: Future[None], work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    import asyncio  # noqa: PLC0415 - as above

    async def while_wanted() -> T:
        task = asyncio.create_task(work())
        unwanted = asyncio.wrap_future(wanted)
        unwanted.add_done_callback(lambda _: task.cancel())
        try:
            return await task
        finally:
            unwanted.cancel()

    try:
        with asyncio.Runner(loop_factory=partial(make_loop, asyncio.new_event_loop)) as runner:
            runner.get_loop()  # before there is a coroutine that nobody would await
            return runner.run(while_wanted())
    except WdsError as error:
        error.__traceback__ = None  # frames that hold it: in a circle they would keep open what the caller has open
        raise
    except OSError as error:
        failure = explain(error)
        raise failure from failure.__cause__
