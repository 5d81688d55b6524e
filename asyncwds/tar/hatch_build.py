"""Part of the build, not of the package: a wheel has the accelerator where it can be compiled, and is pure Python elsewhere."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

PACKAGE = Path("asyncwds", "tar")
NAME = "_scan.abi3.so"


class CompileScan(BuildHookInterface):  # type: ignore[misc]
    """Hatchling's protocol."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = Path(self.root) / PACKAGE
        if version == "editable":
            compiled(folder, folder / NAME)
            return
        self._made = tempfile.TemporaryDirectory(prefix="asyncwds-build-")
        target = Path(self._made.name, NAME)
        if compiled(folder, target):
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform()}"
            build_data["force_include"][str(target)] = str(PACKAGE / NAME)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's protocol
        if version != "editable":
            self._made.cleanup()


def compiled(folder: Path, target: Path) -> bool:
    done = subprocess.run([sys.executable, folder / "compile_scan.py", target], check=False)  # noqa: S603 - ours
    if done.returncode:
        sys.stderr.write("asyncwds: built without the accelerator, which takes a C compiler and the headers of Python\n")
    return done.returncode == 0


def platform() -> str:
    """Of this machine: whether the wheel suits others' C libraries has not been looked at."""
    return str(next(tag.platform for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux"))))
