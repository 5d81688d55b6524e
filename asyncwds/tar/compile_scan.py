"""Compiles the accelerator, for the build and for developers: it imports nothing of the package.

python asyncwds/tar/compile_scan.py [TARGET [FLAG ...]]

TARGET is `_scan.abi3.so` beside this file by default, from where a checkout imports it. Ends with 1 where it cannot be compiled:
no compiler, no headers of Python, an interpreter without the limited API (free-threaded, PyPy).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from shutil import which

SOURCE = Path(__file__).with_name("_scan.c")
FLAGS = ("-fPIC", "-O3", "-Wall", "-Wextra", "-DNDEBUG", "-DPy_LIMITED_API=0x030B0000")


def has_limited_api() -> bool:
    return sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")


def linking_compiler() -> list[str]:
    """How this interpreter's extensions are linked; by $CC, or by `cc` where the compiler that it was built with is not there."""
    compiler, *options = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
    own = shlex.split(os.environ.get("CC", "")) or [compiler if which(compiler) else "cc"]
    return [*own, *options]


def compile_scan(target: Path, flags: list[str]) -> bool:
    include = f"-I{sysconfig.get_path('include')}"
    command = [*linking_compiler(), *FLAGS, *flags, include, str(SOURCE), "-o", str(target)]
    try:
        return has_limited_api() and subprocess.run(command, check=False).returncode == 0  # noqa: S603 - the compiler of this system
    except OSError:
        return False


if __name__ == "__main__":
    chosen, *more = sys.argv[1:] or [str(SOURCE.with_name("_scan.abi3.so"))]
    sys.exit(not compile_scan(Path(chosen), more))
