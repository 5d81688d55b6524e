"""Does "auto" find what fits the link? Virtual time, links of every kind, against the best of fixed settings.

    python -m bench.links [--gigabytes 4]

No network and no clock: the engine runs on a loop whose time jumps (`asyncwds.testing.virtual_time`) over a model of a link
(`asyncwds.testing.simulated_link`), so that a run is the same each time, whatever else the machine does. What the model knows of
the processor is a fixed time for each request and byte. Figures in MB/s.
"""

from __future__ import annotations

import argparse
from itertools import product

from asyncwds import Prefetch
from asyncwds.runtime import GiB, MiB
from asyncwds.testing import LinkModel, read_simulated

LINKS = [LinkModel(first_byte, rate) for first_byte, rate in product((0.0, 0.01, 0.05, 0.2), (20e6, 100e6, None))]
SHARDS = (64 * MiB, 1024 * MiB)
FIXED = [Prefetch(connections=count, part_bytes=size * MiB) for count, size in product((8, 16, 32, 64), (2, 4, 8))]


def _rate(model: LinkModel, prefetch: Prefetch, total: int, size: int) -> float:
    return total / read_simulated(model, prefetch, shards=total // size, size=size).seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.links", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=int, default=4, help="read in each run")
    total = parser.parse_args().gigabytes * GiB
    print(
        "first byte [ms]  connection  shards [MiB]   best fixed setting   auto  of best  10 MB after [s]  peak [MiB]  connections"
    )
    worst = 1.0
    for model, shard in product(LINKS, SHARDS):
        rates = {f"{each.connections} x {each.part_size() // MiB} MiB": _rate(model, each, total, shard) for each in FIXED}
        best = max(rates, key=rates.__getitem__)
        auto = read_simulated(model, Prefetch(), shards=total // shard, size=shard)
        rate = total / auto.seconds
        worst = min(worst, rate / rates[best])
        print(
            f"{model.first_byte * 1e3:15.0f}  {f'{model.rate / 1e6:.0f} MB/s' if model.rate else 'no bound':>10}  {shard // MiB:12}"
            f"  {rates[best] / 1e6:6.0f} by {best:9}  {rate / 1e6:5.0f}  {rate / rates[best]:7.2f}"
            f"  {auto.ten_megabytes:15.2f}  {auto.counters.buffered_peak / MiB:10.0f}  {auto.counters.connections:11}",
            flush=True,
        )
    verdict = "reached" if worst >= 0.9 else "MISSED"
    print(f"{verdict}: auto over the best fixed setting, in the worst cell: {worst:.2f} (at least 0.9)")


if __name__ == "__main__":
    main()
