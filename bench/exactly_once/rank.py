"""One rank of a run, in the environment of a peer: `rank.py PEER FOLDER RANK WORLD_SIZE TAKE [STATES]`.

Writes to the standard output a line of JSON: the ids that came, and the state then. It imports nothing of asyncwds: peers have
environments of their own.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

SAMPLES, SHARDS, BATCH, BUFFER = 1000, 20, 10, 100


def write_tars(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard:03d}.tar", "w") as archive:
            for number in range(shard * SAMPLES // SHARDS, (shard + 1) * SAMPLES // SHARDS):
                member = tarfile.TarInfo(f"{number:06d}.txt")
                member.size = len(data := str(number).encode())
                archive.addfile(member, BytesIO(data))


@contextmanager
def initialise_ranks(rank: int, world_size: int) -> Iterator[None]:
    """For peers that ask torch.distributed for rank and world size."""
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{os.environ['MEETING']}", rank=rank, world_size=world_size)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def main() -> None:
    peer, folder, rank, world_size, take, *states = sys.argv[1:]
    module = import_module(f"bench.exactly_once.peer_{peer}")
    if take == "write":
        module.write(Path(folder))
        return
    os.environ.update(RANK=rank, WORLD_SIZE=world_size, LOCAL_RANK=rank, LOCAL_WORLD_SIZE=world_size)
    saved: list[Any] | None = json.loads(Path(states[0]).read_text()) if states else None
    with module.reading(Path(folder), int(rank), int(world_size), saved) as (batches, state):
        taken = islice(iter(batches), None if take == "all" else int(take))
        ids = [int(one) for batch in taken for one in batch]
        print(json.dumps({"ids": ids, "state": state() if take != "all" else None}), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
