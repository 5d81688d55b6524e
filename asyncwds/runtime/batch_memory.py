"""Where the arrays of a batch are made: in memory lent by whoever hands batches over without a copy, or else in numpy's own."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from math import prod
from typing import Any, Protocol

from asyncwds.runtime.units import KiB

LEAST = 64 * KiB  # [bytes] of an array that memory is lent for: a smaller one is copied sooner than that is done


class Lender(Protocol):
    """What a process of a loader has: memory that the training process sees too."""

    def lend(self, nbytes: int) -> Any:
        """An array of so many bytes for the batch that is being made; None where none can be had now."""


LENDER: ContextVar[Lender | None] = ContextVar("asyncwds lender of batches", default=None)
"""Of this thread: a pipeline knows nothing of who consumes it, and its collation may be any function."""


def batch_array(shape: int | Sequence[int], dtype: Any) -> Any:
    """An array for a batch, its values not set yet: as `numpy.empty`, but in a process of `loader` it is in the memory that is
    handed over, so that the batch is not copied.

    For functions that make batches, such as a `collation_fn`: a new one for each batch, which is not written to once the
    batch has been given on.
    """
    import numpy as np  # noqa: PLC0415 - heavy

    dtype = np.dtype(dtype)
    nbytes = dtype.itemsize * (shape if isinstance(shape, int) else prod(shape))
    lender = LENDER.get()
    lent = lender.lend(nbytes) if lender is not None and nbytes >= LEAST and not dtype.hasobject else None
    return np.empty(shape, dtype) if lent is None else lent.view(dtype).reshape(shape)
