"""Faults in a server, and how often each was met."""

from __future__ import annotations

from dataclasses import dataclass

from asyncwds.testing.faults import Fault
from asyncwds.testing.replies import Request


@dataclass(slots=True)
class ArmedFault:
    """A fault and how often it was met."""

    fault: Fault
    met: int = 0
    applied: int = 0

    def claims(self, request: Request, *, reused: bool) -> bool:
        fault = self.fault
        if fault.path not in (None, request.name) or (fault.on_reuse and not reused):
            return False
        self.met += 1
        turn = self.met - fault.only_after_requests
        if turn < 1 or turn % fault.every or (fault.times is not None and self.applied >= fault.times):
            return False
        self.applied += 1
        return True
