"""Which spans of a download this process fetches. No I/O: the locks that tell others are the business of `Partial`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Claim:
    """[start, stop) is being fetched, and that has come as far as `position`. `stop` may move to the front meanwhile."""

    start: int
    stop: int
    position: int


class Leases:
    """Spans that do not overlap, each fetched by one body."""

    def __init__(self) -> None:
        self._held: list[Claim] = []

    def take(self, start: int, stop: int) -> tuple[Claim, int] | None:
        """A claim on what comes of [start, stop) before other claims; None if one has `start` and will soon be there.

        A body that has far to go till `start` leaves the rest to the new one: so a slow part can be split. The number is where
        the old claim ended then, else `start`.
        """
        end = start
        for held in self._held:
            if held.start <= start < held.stop:
                if held.position >= start:
                    return None
                end, held.stop = held.stop, start
                stop = min(stop, end)
            elif start < held.start < stop:
                stop = held.start
        claim = Claim(start, stop, start)
        self._held.append(claim)
        return claim, end

    def drop(self, claim: Claim) -> None:
        self._held = [held for held in self._held if held is not claim]
