"""A virtual environment for each peer, so that none has to live with the versions of another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Of the releases that the peers take, the one with builds for the CPU alone at hand; PyPI's is for CUDA and takes several GB.
TORCH = "torch==2.13.0"
# Shown beside the peer's own.
BESIDE = ("torch", "numpy", "pillow", "simplejpeg", "aiohttp", "boto3", "pyarrow")


@dataclass(frozen=True)
class Peer:
    """`module` is its file in `bench.field.peers`, `imported` what has to be there, `package` whose version counts.

    `bare` packages are installed without what they depend on, of which `requirements` names what is needed.
    """

    module: str
    imported: str
    package: str
    requirements: Sequence[str]
    bare: Sequence[str] = ()


PEERS: Mapping[str, Peer] = {
    "asyncwds": Peer("with_asyncwds", "asyncwds", "asyncwds", [f"{ROOT}[turbo,uvloop]", TORCH]),
    "webdataset": Peer("with_webdataset", "webdataset", "webdataset", ["webdataset==1.0.2", TORCH, "numpy", "pillow"]),
    "spdl": Peer("with_spdl", "spdl", "spdl", ["spdl==0.8.0", "numpy", "aiohttp"]),
    "litdata": Peer("with_litdata", "litdata", "litdata", ["litdata==0.2.76", TORCH, "boto3", "numpy", "pillow"]),
    # Without torchvision (see its file), and without the clients of stores that are not used here.
    "mosaicml": Peer(
        "with_mosaicml",
        "streaming",
        "mosaicml-streaming",
        [
            TORCH,
            "boto3",
            "Brotli",
            "numpy<2.2",
            "python-snappy",
            "tqdm",
            "transformers<5",
            "xxhash",
            "zstd",
            "catalogue<3",
            "pillow",
        ],
        bare=["mosaicml-streaming==0.13.0"],
    ),
    "datago": Peer("with_datago", "datago", "datago", ["datago==2026.10.1", "numpy"]),
    "torch": Peer("with_torch", "torch", "torch", [TORCH, "numpy", "pillow"]),
    "ray": Peer("with_ray", "ray", "ray", ["ray[data]==2.60.0", "webdataset==1.0.2", "aiohttp", "fsspec", "pillow"]),
    "bare": Peer("with_nothing", "aiohttp", "aiohttp", ["aiohttp", "simplejpeg", "numpy"]),
}


def python_of(name: str, home: Path) -> str | None:
    """The interpreter to run a peer with: its own environment's, this one where the peer is installed in it, or None."""
    own = home / name / "bin" / "python"
    if own.exists():
        return str(own)
    return sys.executable if find_spec(PEERS[name].imported) is not None else None


def search_path(python: str, home: Path) -> str:
    """PYTHONPATH for a peer: what is installed counts, so that of this checkout only `bench` is found."""
    if python == sys.executable:
        return os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    folder = home / "path"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "bench"
    if not link.is_symlink() or link.resolve() != ROOT / "bench":
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / "bench")
    return str(folder)


def install(name: str, home: Path) -> None:
    peer, folder = PEERS[name], home / name
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *peer.requirements], check=True)
    if peer.bare:
        subprocess.run([*pip, "--no-deps", *peer.bare], check=True)
    if name == "asyncwds":  # the same version, of a tree that may have changed
        subprocess.run([*pip, "--no-deps", "--force-reinstall", str(ROOT)], check=True)


LISTING = (
    "import importlib.metadata as m, json, platform;"
    "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()} | {'python': platform.python_version()}))"
)


def versions(name: str, python: str) -> dict[str, str]:
    """Of the peer itself, of Python, and of what does a part of the work."""
    listed = subprocess.run([python, "-c", LISTING], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(listed.stdout)
    names = (PEERS[name].package, "python", *BESIDE)
    return {each: found[each] for each in dict.fromkeys(names) if each in found}
