"""Errors of processes: how they cross, and what is said of a process that ended without one."""

from __future__ import annotations

import pickle
import signal
import traceback

from asyncwds.errors import BridgeError, WorkerDiedError

_SIGNALS = {
    signal.SIGKILL: "as the system does where memory runs out (dmesg tells)",
    signal.SIGSEGV: "a crash in native code (PYTHONFAULTHANDLER=1 shows where)",
    signal.SIGABRT: "a crash in native code (PYTHONFAULTHANDLER=1 shows where)",
    signal.SIGBUS: "memory that could not be had, such as that of a full /dev/shm, or a file that was cut",
}
MAIN = (
    "a script starts processes under `if __name__ == '__main__':` only, and has their functions and classes outside of that,"
    " since each process imports the script"
)


class ProcessTraceback(Exception):  # noqa: N818 - it is the cause of an error, and none by itself
    """Shows the traceback of an error in another process, as its `__cause__`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def pickled(error: BaseException) -> bytes:
    """An error with its traceback; one that cannot be pickled as a BridgeError of its type and text."""
    text = "".join(traceback.format_exception(error))
    try:
        message = pickle.dumps((error, text))
        pickle.loads(message)  # noqa: S301 - what was pickled just now: some errors come apart only here
    except Exception:  # noqa: BLE001 - pickling can fail in any way
        return pickle.dumps((BridgeError(f"{type(error).__name__}: {error}"), text))
    return message


def unpickled(failure: bytes) -> BaseException:
    error: BaseException
    error, text = pickle.loads(failure)  # noqa: S301 - from our own process
    error.__cause__ = ProcessTraceback(text)
    return error


def death(name: str, pid: int, exitcode: int | None, *, has_started: bool) -> WorkerDiedError:
    """What to say of a process that ended before its work did."""
    if exitcode is not None and exitcode < 0:
        how = _killed(-exitcode)
    else:
        why = ", by sys.exit or os._exit" if has_started else f" at its start, its traceback is on standard error: {MAIN}"
        how = f"ended with exit code {exitcode}{why}"
    error = WorkerDiedError(f"{name} (pid {pid}) {how}")
    error.pid, error.exitcode = pid, exitcode
    return error


def _killed(number: int) -> str:
    if number not in set(signal.Signals):
        return f"was killed by signal {number}"
    remedy = _SIGNALS.get(signal.Signals(number))
    return f"was killed by {signal.Signals(number).name}" + (f", {remedy}" if remedy else "")
