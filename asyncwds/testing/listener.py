"""A thread with an event loop that accepts connections: what the servers for tests stand on."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

Serve = Callable[[socket.socket], Coroutine[Any, Any, None]]


class Listener:
    """Listens at `host`:`port` (0 takes a free one) from `start` to `stop`, each connection a task in a thread of its own."""

    def __init__(self, serve: Serve, host: str, port: int) -> None:
        self._serve = serve
        self.host = host
        self.port = port
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._started = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        # Bound here, so that an address in use is an error of the caller's and not of the thread.
        listening = socket.create_server((self.host, self.port), backlog=512)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listening,), name="fault-server", daemon=True)
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Closes all connections and joins the thread. Raises what the server itself failed with, if it did."""
        if self._thread is None:
            return
        assert self._loop is not None
        assert self._main is not None
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()
        self._loop.close()
        self._thread = None
        if self._failure is not None:
            raise self._failure

    def _run(self, listening: socket.socket) -> None:
        self._loop = asyncio.SelectorEventLoop()
        self._main = self._loop.create_task(self._attend(listening))
        self._loop.call_soon(self._started.set)
        try:
            self._loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001  handed to whoever stops the server
            self._failure = error
        finally:
            self._loop.run_until_complete(asyncio.sleep(0))  # transports close one turn after their tasks
            listening.close()

    async def _attend(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            # Not loop.sock_accept: a connection that it takes in the moment of a cancellation is lost unclosed.
            loop.add_reader(listening, self._accept, listening, group)
            try:
                await loop.create_future()  # until cancelled
            finally:
                loop.remove_reader(listening)

    def _accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        try:
            sock, _ = listening.accept()
        except OSError:
            return  # descriptors used up, or the peer left between SYN and accept: neither ends a server
        task = group.create_task(self._serve(sock))
        # Also for a task that is cancelled before its first step.
        task.add_done_callback(partial(_close, sock))


def _close(sock: socket.socket, _: asyncio.Task[None]) -> None:
    sock.close()
