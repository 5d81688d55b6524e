"""One run: `python -m bench.child QUESTION CONTENDER full|probes`, with the world as JSON on stdin and the figures on stdout."""

from __future__ import annotations

import gc
import json
import resource
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from time import perf_counter

from bench.harness import Question, Run
from bench.tally import Tally


def _resident(field: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process [bytes]. Unlike ru_maxrss, it does not count what the parent had at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))


def _cpu() -> float:
    """CPU seconds of this process and of the children it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    name, contender_name, mode = sys.argv[1:]
    world = json.load(sys.stdin)
    question: Question = import_module(f"bench.{name}").QUESTION
    contender = question.contenders[contender_name]
    for needed in contender.needs:
        resolve_name(needed)
    if contender.before is not None:
        contender.before(world)
    tally = Tally(full=mode == "full", every=question.every)
    # What imports made stays: a collection that walks all of it (torch alone makes 400,000 objects) takes a tenth of a second,
    # and in a run of a second falls to one contender or another by chance.
    gc.collect()
    gc.freeze()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak that imports made (man 5 proc)
    idle, cpu, began = _resident("VmRSS"), _cpu(), perf_counter()
    contender.run(world, tally)
    seconds, cpu = perf_counter() - began, _cpu() - cpu
    first = seconds if tally.first is None else tally.first - began
    run = Run(seconds, cpu, first, _resident("VmHWM") - idle, tally.samples, tally.bytes, tally.digest, tally.sent, tally.requests)
    print(json.dumps(asdict(run)))


if __name__ == "__main__":
    main()
