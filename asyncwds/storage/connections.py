"""HTTP connections that leave no socket behind. Imports aiohttp."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import aiohttp


class Connector(aiohttp.TCPConnector):
    """As many connections as are asked for at once. It knows them all, so that `close_session` can."""

    def __init__(self, *, force_close: bool = False) -> None:
        super().__init__(limit=0, force_close=force_close)  # the scheduler limits them
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def connect(self, *args: Any, **options: Any) -> Any:
        connection = await super().connect(*args, **options)
        if connection.transport is not None:
            self._transports.add(connection.transport)
        return connection

    def abort(self) -> None:
        """Drops what the peers have not taken yet."""
        for transport in tuple(self._transports):
            transport.abort()


async def close_session(session: aiohttp.ClientSession) -> None:
    """Closes its connections, at once.

    A connection that is closed while an upload waits for the peer to take more would go on waiting, beyond the end of the loop.
    """
    connector = session.connector
    await session.close()
    if isinstance(connector, Connector):
        connector.abort()
    await asyncio.sleep(0)  # what was aborted closes its socket in the loop's next turn
