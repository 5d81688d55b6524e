"""What a program has left in shared memory. Tests run side by side, and what others share comes and goes."""

import time
from pathlib import Path

SHM = Path("/dev/shm")


def shared_files(*folders: Path) -> set[Path]:
    return {path for folder in (SHM, *folders) if folder.is_dir() for path in folder.iterdir()}


def left_since(before: set[Path], *folders: Path) -> set[Path]:
    """What is there that was not, and stays; but for the files of torch's own DataLoader."""
    left = set()
    for _ in range(100):
        left = {path for path in shared_files(*folders) - before if not path.name.startswith("torch_")}
        if not left:
            break
        time.sleep(0.1)
    return left
