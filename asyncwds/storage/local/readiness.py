"""What local sources share: descriptors that are waited for, and the system's errors as ours."""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

from asyncwds.errors import AccessError, FetchError, NotFoundError
from asyncwds.runtime.process import advice, are_used_up
from asyncwds.runtime.units import KiB

if TYPE_CHECKING:
    import asyncio

PIPE_BYTES = 256 * KiB
"""How much is read from a pipe at a time. With a pipe of this size 0.31 CPU-s/GB; 64 KiB 0.43, 1 MiB 0.94."""

_KINDS: dict[int, type[FetchError]] = {
    errno.ENOENT: NotFoundError,
    errno.ENOTDIR: NotFoundError,
    errno.EACCES: AccessError,
    errno.EPERM: AccessError,
}


def translate_os_error(error: OSError, url: str, offset: int | None = None) -> FetchError:
    """Our error for a system call on the source `url` that failed."""
    message = error.strerror or str(error)
    if are_used_up(error):
        message += f": {advice()}"
    return _KINDS.get(error.errno or 0, FetchError)(message, url=url, offset=offset)


def is_ready(descriptor: int) -> bool:
    """Whether a read of a pipe, socket or terminal would return at once, also with its end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def read_when_ready(descriptor: int) -> bytes:
    """Bytes of a pipe, socket or terminal, as soon as there are any; b"" at its end.

    No thread waits, and the descriptor's flags stay as they are: those of standard input belong to other processes too.
    """
    import asyncio  # noqa: PLC0415 - heavy, and whoever has only files does without

    while True:
        if is_ready(descriptor):
            await asyncio.sleep(0)  # a fast writer must not keep the loop
        else:
            await _ready(descriptor)
        try:
            return os.read(descriptor, PIPE_BYTES)
        except BlockingIOError:  # another reader was faster
            continue


async def _ready(descriptor: int) -> None:
    import asyncio  # noqa: PLC0415 - as above

    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
