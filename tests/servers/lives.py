"""Trainings that are killed and started again: `lives.py MODULE FOLDER CASES IMPORTS…`.

Each life is a fork of a process that has imported all: what the first one imported besides, which lasts to the end, its parent
imports for those that follow. That is a thousand modules of Accelerate's, 1.5 s in each life.

MODULE has a function `train(folder, kill_at, **case)`. CASES is JSON: by name, arguments and the steps at which lives end.
"""

import importlib
import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from asyncwds.testing import write_shards

SHARDS, SAMPLES, BATCH, EPOCHS, SAVE_EVERY = 8, 4, 4, 3, 2
STEPS = SHARDS * SAMPLES // BATCH


def run_lives(module: str, folder: Path, cases: dict[str, tuple[dict[str, Any], list[int]]], *imports: str) -> dict[str, list[str]]:
    """Of each case the steps of all its lives, as `note` noted them. `imports` are the modules that `train` imports."""
    command = [sys.executable, __file__, module, str(folder), json.dumps(cases), *imports]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return {name: (folder / name / "steps").read_text().splitlines() for name in cases}


def note(folder: Path, step: int, batch: Any, kill_at: int | None) -> None:
    """A step's batch; the process is killed after the one at which its life ends."""
    with (folder / "steps").open("a") as steps:
        steps.write(f"{step} {batch}\n")
    if step == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)


def expected(whole: list[str], kills: list[int], save_every: int) -> list[str]:
    """The steps of all lives, where each begins behind the last checkpoint of the one before it."""
    found, begin = [], 0
    for kill in kills:
        found += whole[begin : kill + 1]
        begin = kill // save_every * save_every
    return found + whole[begin:]


def check_lives(module: str, folder: Path, cases: dict[str, tuple[dict[str, Any], list[int]]], *imports: str) -> None:
    """Each step has the batch that it would have had. All cases in one test: divided among the processes of the tests, each would
    import all and train for all. A case is named as the one in which nobody is killed, with ", killed" behind that.
    """
    write_shards(folder / "shards", shards=SHARDS, samples=SAMPLES)
    lives = run_lives(module, folder, cases, *imports)
    for name, (_, kills) in cases.items():
        whole = lives[name.removesuffix(", killed")]
        assert len(set(whole)) == len(whole) == EPOCHS * STEPS, name
        assert lives[name] == expected(whole, kills, SAVE_EVERY), name


def main() -> None:
    path, folder, cases = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    for name in sys.argv[4:]:
        importlib.import_module(name)
    spec = importlib.util.spec_from_file_location("trained", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, (case, kills) in cases.items():
        (folder / name).mkdir()
        for kill_at in [*kills, None]:
            arguments = (module.train, folder / name, kill_at, case)
            life = multiprocessing.get_context("fork").Process(target=live, args=arguments)
            life.start()
            life.join()
            assert life.exitcode == (0 if kill_at is None else -signal.SIGKILL), f"{name}, {kill_at}: {life.exitcode}"
            import_all((folder / name / "modules").read_text().split() if kill_at is None else [])


def live(train: Callable[..., None], folder: Path, kill_at: int | None, case: dict[str, Any]) -> None:
    train(folder, kill_at, **case)
    (folder / "modules").write_text(" ".join(sys.modules))


def import_all(names: list[str]) -> None:
    for name in names:
        with suppress(Exception):  # what is found under another name only
            importlib.import_module(name)


if __name__ == "__main__":
    main()
