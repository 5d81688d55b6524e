"""The side of the process that iterates: slots of one process, and the batches in them, which are views; and slots that the GPU
reads by itself, whose pages are registered with CUDA once, when the slot is made.

A slot goes back when the last view of it is gone. Whoever keeps many batches is given copies from then on, so that slots don't
run out.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol
from weakref import ref

from asyncwds.parallel.messages import KEPT, Batch
from asyncwds.parallel.packing import unpack

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


class Slots:
    """`free` is called with the number of each slot that may be written to again, by any thread."""

    def __init__(self, free: Callable[[int], None], pages: Pages | None) -> None:
        self._free = free
        self._pages = pages
        self._mapped: dict[int, _Mapping] = {}
        self._kept: dict[int, ref[Any]] = {}  # slots that the consumer has; the references tell when the last view is gone
        self._copied: list[tuple[int, Any]] = []  # slots whose bytes the GPU may still be copying, with the event of its end

    def map(self, slot: int, segment: mmap.mmap) -> None:
        """What the slot is from here on."""
        old = self._mapped.pop(slot, None)
        if old is not None:
            old.close()
        self._mapped[slot] = _Mapping(segment, self._pages)

    def take(self, message: Batch) -> Any:
        """The batch in a slot."""
        import numpy as np  # noqa: PLC0415 - heavy

        self._release_copied()
        if len(self._kept) >= KEPT:
            offset, length = message.places[-1]
            block = np.frombuffer(self._mapped[message.slot].segment, np.uint8, offset + length).copy()
            self._free(message.slot)
            return unpack(block, message.places)
        lent = self._mapped[message.slot].lend()
        # numpy's views of views refer to what is no array, and keep that: this is gone when the last of them is.
        self._kept[message.slot] = ref(lent, partial(self._give_back, message.slot))
        return unpack(np.frombuffer(lent, np.uint8), message.places)

    def drop(self, message: Batch) -> None:
        """A batch that nobody wants."""
        self._free(message.slot)

    def close(self) -> None:
        for mapping in self._mapped.values():
            mapping.close()
        self._mapped.clear()

    def _give_back(self, slot: int, _: object) -> None:
        if self._pages is not None and (mapping := self._mapped.get(slot)) is not None and mapping.is_registered:
            self._copied.append((slot, self._pages.mark()))
        else:
            self._release(slot)

    def _release_copied(self) -> None:
        waiting, self._copied = self._copied, []
        for slot, event in waiting:
            if event.query():
                self._release(slot)
            else:
                self._copied.append((slot, event))

    def _release(self, slot: int) -> None:
        self._kept.pop(slot, None)
        self._free(slot)


class _Mapping:
    """A segment here, which the GPU may read by itself."""

    def __init__(self, segment: mmap.mmap, pages: Pages | None) -> None:
        self.segment = segment
        self._bytes = ctypes.c_ubyte * len(segment)
        self._address = ctypes.addressof(self.lend())
        self._pages = pages
        self.is_registered = pages is not None and pages.register(self._address, len(segment))

    def lend(self) -> Any:
        """An object of its own, which keeps the memory."""
        return self._bytes.from_buffer(self.segment)

    def close(self) -> None:
        if self._pages is not None and self.is_registered:
            self._pages.unregister(self._address)
