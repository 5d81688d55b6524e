"""Faults of a shard that cost none of its samples: warnings, unless somebody asks for errors."""

from __future__ import annotations

import warnings

from asyncwds.errors import RepeatedKeyError, ShardWarning, TrailingBytesError

COSTS_NOTHING = (TrailingBytesError, RepeatedKeyError)


def tolerated(error: Exception, *, strict: bool) -> bool:
    """Whether reading goes on as if nothing were wrong, after a ShardWarning."""
    if strict or not isinstance(error, COSTS_NOTHING):
        return False
    warnings.warn(str(error), ShardWarning, stacklevel=3)
    return True
