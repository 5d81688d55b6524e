"""Does "auto" find what fits the link? Virtual time, links of every kind, against the best of fixed settings.

    python -m bench.links [--gigabytes 4]

No network and no clock: the engine runs on a loop whose time jumps (`asyncwds.testing.virtual_time`) over a model of a link
(`asyncwds.testing.simulated_link`), so that a run is the same each time, whatever else the machine does. What the model knows of
the processor is a fixed time for each request and byte. Figures in MB/s.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from itertools import product

from asyncwds import Prefetch
from asyncwds.engine import BlockStream, ReadOptions
from asyncwds.runtime import Counters, GiB, MiB
from asyncwds.shards import Shard
from asyncwds.testing import LinkModel, SimulatedLink, run_in_virtual_time

LINKS = [LinkModel(first_byte, rate) for first_byte, rate in product((0.0, 0.01, 0.05, 0.2), (20e6, 100e6, None))]
SHARDS = (64 * MiB, 1024 * MiB)
FIXED = [Prefetch(connections=count, part_bytes=size * MiB) for count, size in product((8, 16, 32, 64), (2, 4, 8))]


@dataclass(frozen=True)
class Reading:
    """Rate [bytes/s], time [s] until 10 MB were there, peak [bytes] of what was held, and the connections at the end."""

    rate: float
    ten_megabytes: float
    peak: int
    connections: int


def read(model: LinkModel, shard: int, total: int, prefetch: Prefetch) -> Reading:
    """`total` bytes in shards of `shard` bytes."""
    return run_in_virtual_time(_read(model, shard, total, prefetch))


async def _read(model: LinkModel, shard: int, total: int, prefetch: Prefetch) -> Reading:
    counters = Counters()
    link = SimulatedLink(model, shard, counters)
    shards = iter([Shard(f"simulated://{index}", index) for index in range(total // shard)])
    stream = BlockStream(shards, link, prefetch, ReadOptions(max_member_bytes=GiB, raw=True, verify=False), counters)
    clock, received, early = asyncio.get_running_loop(), 0, 0.0
    while (block := await stream.next_block()) is not None:
        received += block.nbytes
        early = early or (clock.time() if received >= 10e6 else 0.0)
    seconds = clock.time()
    await stream.aclose()
    return Reading(received / seconds, early, counters.buffered_peak, counters.connections)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.links", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=int, default=4, help="read in each run")
    total = parser.parse_args().gigabytes * GiB
    print(
        "first byte [ms]  connection  shards [MiB]   best fixed setting   auto  of best  10 MB after [s]  peak [MiB]  connections"
    )
    worst = 1.0
    for model, shard in product(LINKS, SHARDS):
        fixed = {f"{each.connections} x {each.part_size() // MiB} MiB": read(model, shard, total, each).rate for each in FIXED}
        best = max(fixed, key=fixed.__getitem__)
        auto = read(model, shard, total, Prefetch())
        worst = min(worst, auto.rate / fixed[best])
        print(
            f"{model.first_byte * 1e3:15.0f}  {f'{model.rate / 1e6:.0f} MB/s' if model.rate else 'no bound':>10}  {shard // MiB:12}"
            f"  {fixed[best] / 1e6:6.0f} by {best:9}  {auto.rate / 1e6:5.0f}  {auto.rate / fixed[best]:7.2f}"
            f"  {auto.ten_megabytes:15.2f}  {auto.peak / MiB:10.0f}  {auto.connections:11}",
            flush=True,
        )
    verdict = "reached" if worst >= 0.9 else "MISSED"
    print(f"{verdict}: auto over the best fixed setting, in the worst cell: {worst:.2f} (at least 0.9)")


if __name__ == "__main__":
    main()
