"""What a server for tests has seen, and the object by which it tells that over HTTP."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class ServerCounters:
    """What a server has seen. Read from any thread; `bytes_sent` [bytes] counts bodies, as they are handed to the kernel."""

    requests: int = 0
    bytes_sent: int = 0
    in_flight: int = 0  # requests being answered now
    peak_in_flight: int = 0
    open_connections: int = 0
    peak_connections: int = 0
    connections_made: int = 0
    by_path: Counter[str] = field(default_factory=Counter)  # object name → requests

    def as_json(self) -> bytes:
        return json.dumps({each.name: getattr(self, each.name) for each in fields(self)}).encode()


COUNTERS = "__counters__"
"""Name of an object that every server has: its counters as JSON. Asking for it is not counted, and meets no fault."""
