"""What do loaders that can be resumed lose and repeat? The same script for each: `python -m bench.exactly_once FOLDER [PEER…]`.

1,000 samples in 20 shards, shuffled, on 4 ranks. Each takes 13 batches of 10, says its state, and is gone. Then 4 new ranks go on
with these states, or 3, to the end of the epoch. Counted over all: samples that never came, and samples that came twice. FOLDER
has the peers' environments, one folder each, made by `python -m venv FOLDER/NAME` and pip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.exactly_once.rank import SAMPLES

ROOT = Path(__file__).parent.parent.parent
RANKS, FEWER, BATCHES = 4, 3, 13
PACKAGES = {
    "asyncwds": "asyncwds",
    "litdata": "litdata",
    "mosaicml": "mosaicml-streaming",
    "datasets": "datasets",
    "grain": "grain",
    "energon": "megatron-energon",
    "lance": "lancedb",
}


@dataclass(frozen=True)
class Outcome:
    """Of a whole epoch: samples that never came, and that came once more than they should; or why there is no such epoch."""

    lost: int = 0
    repeated: int = 0
    same_order: bool | None = None
    refused: str = ""

    def __str__(self) -> str:
        if self.refused:
            return self.refused
        order = {None: "", True: ", the uninterrupted order", False: ", another order"}[self.same_order]
        return f"{self.lost} lost, {self.repeated} repeated{order}"


@dataclass(frozen=True)
class Peer:
    name: str
    python: Path
    folder: Path

    def run(self, world_size: int, take: str, states: list[Any] | None = None) -> list[dict[str, Any]]:
        """All ranks at once. Raises RuntimeError with the last line of what a rank says that fails."""
        with TemporaryDirectory() as scratch:
            saved = []
            if states is not None:
                (Path(scratch) / "states.json").write_text(json.dumps(states))
                saved = [f"{scratch}/states.json"]
            offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # else datasets asks its hub, for minutes
            path = f"{self.python.parent}:{os.environ['PATH']}"
            environment = {**os.environ, **offline, "MEETING": f"{scratch}/meeting", "PATH": path, "PYTHONPATH": str(ROOT)}
            command = [str(self.python), "-m", "bench.exactly_once.rank", self.name, str(self.folder / "data")]
            ranks = [
                subprocess.Popen(
                    [*command, str(rank), str(world_size), take, *saved],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
                )
                for rank in range(world_size)
            ]  # fmt: skip
            said = [rank.communicate(timeout=100) for rank in ranks]
        for rank, (_, errors) in zip(ranks, said, strict=True):
            if rank.returncode:
                raise RuntimeError(errors.strip().splitlines()[-1])
        return [json.loads(output.splitlines()[-1]) for output, _ in said] if take != "write" else []


def measure(peer: Peer) -> dict[str, Outcome]:
    peer.run(1, "write")
    whole = peer.run(RANKS, "all")
    begun = peer.run(RANKS, str(BATCHES))
    states = [rank["state"] for rank in begun]
    before = [rank["ids"] for rank in begun]
    return {
        "no interruption": counted([rank["ids"] for rank in whole]),
        f"{RANKS} ranks again": go_on(peer, RANKS, states, before, [rank["ids"] for rank in whole]),
        f"{FEWER} ranks": go_on(peer, FEWER, states, before, None),
    }


def go_on(peer: Peer, world_size: int, states: list[Any], before: list[list[int]], whole: list[list[int]] | None) -> Outcome:
    try:
        rest = [rank["ids"] for rank in peer.run(world_size, "all", states)]
    except RuntimeError as error:
        return Outcome(refused=f"refused: {error}")
    same = None if whole is None else [a + b for a, b in zip(before, rest, strict=True)] == whole
    return counted([*before, *rest], same)


def counted(ids: list[list[int]], same_order: bool | None = None) -> Outcome:
    counts = Counter([one for rank in ids for one in rank])
    return Outcome(SAMPLES - len(counts), sum(counts.values()) - len(counts), same_order)


def main() -> None:
    environments, *names = sys.argv[1:]
    for name in names or PACKAGES:
        python = Path(environments) / name / "bin" / "python" if name != "asyncwds" else Path(sys.executable)
        with TemporaryDirectory() as folder:
            try:
                found: dict[str, Any] = measure(Peer(name, python, Path(folder)))
            except (OSError, RuntimeError) as error:
                found = {"not run": str(error)}
        print(f"{PACKAGES[name]}: " + "; ".join([f"{what}: {outcome}" for what, outcome in found.items()]), flush=True)


if __name__ == "__main__":
    main()
