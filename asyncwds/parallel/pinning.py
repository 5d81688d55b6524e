"""Slots that the GPU reads by itself: their pages are registered with CUDA once, when the slot is made."""

from __future__ import annotations

import logging
import sys
from typing import Any, Protocol

_logger = logging.getLogger("asyncwds.loader")


class Pages(Protocol):
    """What is asked of CUDA."""

    def register(self, address: int, nbytes: int) -> bool: ...
    def unregister(self, address: int) -> None: ...
    def mark(self) -> Any:
        """Of all that the current stream has been given to do so far: an event with a method `query`, True when it is done."""


class CudaPages:
    """torch's CUDA."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def register(self, address: int, nbytes: int) -> bool:
        """Whether it could be: a driver may refuse memory of this kind, and then copies take the detour that they take anyway."""
        status = self._torch.cuda.cudart().cudaHostRegister(address, nbytes, 0)
        if int(status) != 0:
            _logger.warning("CUDA refuses to register %d bytes of shared memory: error %d", nbytes, int(status))
        return int(status) == 0

    def unregister(self, address: int) -> None:
        self._torch.cuda.cudart().cudaHostUnregister(address)

    def mark(self) -> Any:
        event = self._torch.cuda.Event()
        event.record()
        return event


def find_pages(wanted: bool | None) -> Pages | None:
    """CUDA where it is wanted and there is one; with None where this process has used it already, since a context takes memory."""
    torch = sys.modules.get("torch")
    if wanted is False or torch is None or not torch.cuda.is_available():
        return None
    return CudaPages(torch) if wanted or torch.cuda.is_initialized() else None
