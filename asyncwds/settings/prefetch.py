"""How far is read ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asyncwds import checks
from asyncwds.runtime.units import GiB, KiB, MiB

MAX_HEADER_BYTES = 16 * MiB


@dataclass(frozen=True, slots=True)
class Prefetch:
    """How far the engine reads ahead.

    connections         requests in flight over all shards; "auto" adapts to the link and the consumer
    buffer_bytes        bound [bytes] of everything fetched or reserved, and of samples that the consumer is not done with; where
                        two samples take more than three quarters of it, those and a quarter
    part_bytes          size [bytes] of one range request; "auto" is 1 MiB near the reader and up to 8 MiB behind
                        that, or behind the first of a shard where there is a single connection; less where the buffer is
                        small or connections are many
    interleave          shards read in rotation, `interleave_samples` samples each turn
    order               "plan": what is yielded never depends on timing; "arrival": samples as they come, fastest with stragglers
    max_member_bytes    a member that declares more [bytes] than this, its holes included, is refused before memory is taken
    max_header_bytes    and so is a header that extends another (PAX records, a long name)
    uvloop              run the engine's own loop on uvloop (the extra `uvloop`)
    """

    connections: int | Literal["auto"] = "auto"
    buffer_bytes: int = 256 * MiB
    part_bytes: int | Literal["auto"] = "auto"
    interleave: int = 1
    interleave_samples: int = 16
    order: Literal["plan", "arrival"] = "plan"
    max_member_bytes: int = 4 * GiB
    max_header_bytes: int = MAX_HEADER_BYTES
    uvloop: bool = False

    def __post_init__(self) -> None:
        for name in ("connections", "part_bytes"):
            if not isinstance(getattr(self, name), str):
                checks.whole_fields(self, 1, name)
            else:
                checks.one_of(f"Prefetch: {name}, if it is no whole number,", getattr(self, name), ("auto",))
        checks.whole_fields(self, 1, "buffer_bytes", "interleave", "interleave_samples")
        checks.whole_fields(self, 0, "max_member_bytes", "max_header_bytes")
        checks.one_of("Prefetch: order", self.order, ("plan", "arrival"))
        checks.flags(self, "uvloop")
        # Sources without ranges hold a connection for as long as their shard is open: fewer connections than shards
        # in rotation could never make progress.
        checks.require(
            self.connections == "auto" or self.connections >= self.interleave,
            f"interleave={self.interleave} needs at least as many connections, not {self.connections}",
        )

    def part_size(self) -> int:
        """Bytes of one range request."""
        if self.part_bytes != "auto":
            return self.part_bytes
        return max(256 * KiB, min(8 * MiB, self.buffer_bytes // 32))

    def least_part(self) -> int:
        """Bytes of the first range requests."""
        return self.part_size() if self.part_bytes != "auto" else max(256 * KiB, self.part_size() // 8)


def as_prefetch(prefetch: int | Literal["auto"] | Prefetch | None) -> Prefetch:
    """`16` is short for `Prefetch(connections=16)`."""
    if prefetch is None:
        return Prefetch()
    return prefetch if isinstance(prefetch, Prefetch) else Prefetch(connections=prefetch)
