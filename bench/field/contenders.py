"""Who is asked: the peers' functions and settings, under the names that the page has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """`function` of the peer's file is what gives samples or batches; `options` are added to the world."""

    peer: str
    function: str
    options: Mapping[str, Any] = field(default_factory=dict)
    consume: str = ""


ONLY_IMAGES = "gives images only, decoded"
NO_FILES = "reads files of a folder, not over a network"
OWN_TRANSFORM = "the crop is the user's own code in its workers, as with the torch DataLoader"
NO_LOADER = "decodes and crops nothing"
HANDS_OVER_BY_TORCH = "hands over by torch's DataLoader"
IN_ONE_PROCESS = "hands over within one process"

STREAMS = {
    "asyncwds": Contender("asyncwds", "samples"),
    "bare download": Contender("bare", "samples", consume="itself"),
    "webdataset, 4 workers": Contender("webdataset", "samples", {"workers": 4}),
    "SPDL": Contender("spdl", "samples"),
    "LitData": Contender("litdata", "samples"),
    # In workers its downloads of several parts came to a halt here.
    "MosaicML, no workers": Contender("mosaicml", "samples", {"workers": 0}),
    "Ray Data": Contender("ray", "samples"),
}
NOT_STREAMS = {"datago": ONLY_IMAGES, "torch DataLoader": NO_FILES}
# A Ray of one machine takes longer to start than others take to answer: it is asked where that says most.
NO_RAY = {"Ray Data": "asked in four other questions only, since each run starts a Ray"}
IMAGES = {
    "asyncwds": Contender("asyncwds", "batches"),
    "simplejpeg alone, 2 threads": Contender("bare", "batches", {"threads": 2, "again": True}),
    "webdataset": Contender("webdataset", "batches"),
    "SPDL": Contender("spdl", "batches"),
    "datago": Contender("datago", "batches"),
    "LitData": Contender("litdata", "batches"),
    "MosaicML": Contender("mosaicml", "batches"),
    "Ray Data": Contender("ray", "batches"),
    "torch DataLoader, local files": Contender("torch", "batches"),
}
SCALED = {
    **{f"asyncwds, {n} threads": Contender("asyncwds", "batches", {"threads": n}) for n in (1, 2)},
    **{f"asyncwds, loader of {n}": Contender("asyncwds", "batches_by_loader", {"processes": n, "threads": 1}) for n in (1, 2)},
    **{f"webdataset, {n} workers": Contender("webdataset", "batches", {"workers": n}) for n in (1, 2)},
    **{f"SPDL, {n} threads": Contender("spdl", "batches", {"threads": n}) for n in (1, 2)},
    **{f"torch DataLoader, {n} workers": Contender("torch", "batches", {"workers": n}) for n in (1, 2)},
}
FIELDS = (1, 4, 16, 64)
HANDED = {
    f"{name}, {number} fields": Contender(peer, "fields", {"fields": number, "number": 100_000})
    for name, peer in (("asyncwds", "asyncwds"), ("torch DataLoader", "torch"), ("SPDL", "spdl"))
    for number in FIELDS
}


def without(contenders: Mapping[str, Contender], *peers: str) -> dict[str, Contender]:
    return {name: each for name, each in contenders.items() if each.peer not in peers}
