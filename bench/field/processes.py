"""CPU time and memory of a process and all below it, from /proc."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def _stat(process: int) -> list[str]:
    """What follows the name in /proc/PID/stat: state, parent, …"""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """A process and all below it, itself first."""
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - a few hundred times a second
        if name.isdecimal():
            with suppress(OSError):
                parents[int(name)] = int(_stat(int(name))[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def cpu_of(processes: Sequence[int]) -> float:
    """[s], with that of children which they have waited for."""
    ticks = 0
    for process in processes:
        with suppress(OSError):
            ticks += sum(map(int, _stat(process)[11:15]))
    return ticks / TICK


def resident(processes: Sequence[int]) -> int:
    """[bytes]; pages that several share are counted once, in parts."""
    total = 0
    for process in processes:
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total
