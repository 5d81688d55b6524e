"""Servers for tests out of aiohttp applications, in a thread of their own, and what objects stores have in common."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def serve(*handlers: Callable, tls: ssl.SSLContext | None = None) -> Iterator[list[str]]:
    """Each handler (`async def handler(request) -> Response`) on a free loopback port; yields their origins.

    The thread is a daemon: a pytest that is terminated takes it along.
    """
    loop = asyncio.new_event_loop()
    started: list[str] = []
    ready = threading.Event()

    async def start() -> list[web.ServerRunner]:
        runners = []
        for handler in handlers:
            runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)  # 0 is for ever
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            started.append(f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}")
            runners.append(runner)
        return runners

    async def stop(runners: list[web.ServerRunner]) -> None:
        for runner in runners:
            await runner.cleanup()
        # Tasks of connections that clients hold open; one that reads a body takes a cancellation for the client's end.
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.1)
        await asyncio.sleep(0)

    def run() -> None:
        runners = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(stop(runners))
        loop.close()

    thread = threading.Thread(target=run, name="webapps", daemon=True)
    thread.start()
    assert ready.wait(10), "the servers did not start"
    try:
        yield started
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def ranged(request: web.Request, data: bytes, headers: dict[str, str]) -> web.Response:
    """An object, or the range of it that was asked for (RFC 9110)."""
    asked = request.headers.get("Range")
    if asked is None:
        return web.Response(body=data, headers=headers)
    first, _, last = asked.removeprefix("bytes=").partition("-")
    start, stop = int(first), min(int(last) + 1 if last else len(data), len(data))
    if start >= len(data):
        return web.Response(status=416, headers=headers | {"Content-Range": f"bytes */{len(data)}"})
    found = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
    return web.Response(status=206, body=data[start:stop], headers=found)
