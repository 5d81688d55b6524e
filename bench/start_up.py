"""How long does it take to import asyncwds, and to answer `asyncwds --help`?

    python -m bench start_up

Beside an interpreter that does nothing. Neither may import torch, numpy or aiohttp.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.harness import Contender, Question, Size, Target, World
from bench.tally import Tally


@contextmanager
def prepare(size: Size) -> Iterator[World]:
    del size  # there is only one
    yield {"samples": 0, "bytes": 0}


def command(*arguments: str) -> Callable[[World, Tally], None]:
    def run(world: World, tally: Tally) -> None:
        del world, tally
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    return run


QUESTION = Question(
    prepare=prepare,
    contenders={
        "python": Contender(command("-c", "pass")),
        "import asyncwds": Contender(command("-c", "import asyncwds")),
        "import its WebDataset": Contender(command("-c", "import asyncwds.pipeline.dataset")),
        "asyncwds --help": Contender(command("-m", "asyncwds", "--help")),
    },
    columns=["seconds"],
    targets=[
        Target(
            "import [ms], the interpreter's own start taken off",
            lambda a: (a["import asyncwds"].seconds - a["python"].seconds) * 1e3,
            at_most=150,
        ),
        Target("asyncwds --help [ms]", lambda a: a["asyncwds --help"].seconds * 1e3, at_most=250),
    ],
)
