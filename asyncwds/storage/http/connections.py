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
        # By aiohttp's protocols: uvloop's transports allow no weak references. A transport forgets its protocol when it is closed.
        self._transports: weakref.WeakKeyDictionary[Any, tuple[asyncio.Transport, bool]] = weakref.WeakKeyDictionary()

    async def connect(self, *args: Any, **options: Any) -> Any:
        connection = await super().connect(*args, **options)
        transport = connection.transport
        if transport is not None:
            self._transports[connection.protocol] = transport, transport.get_extra_info("sslcontext") is not None
        return connection

    def abort(self) -> None:
        """Ends connections that the peers have not taken everything from yet, or, with TLS, have not said goodbye to."""
        for transport, secured in tuple(self._transports.values()):
            # Where it is closed already, asyncio's `abort` fails without TLS, and `get_write_buffer_size` with it.
            if secured or transport.get_write_buffer_size():
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
