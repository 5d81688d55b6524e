"""How fast other libraries read the same shards: `measure_rivals`, for `bench --compare`."""

from __future__ import annotations

import resource
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby, islice
from time import perf_counter
from typing import Any

from asyncwds.errors import WdsError
from asyncwds.tar.grouping import base_plus_ext
from asyncwds.tools.opening import open_url

Reads = Callable[[Sequence[str]], Iterator[object]]


@dataclass(frozen=True)
class Rival:
    """What a library did, in [s]; `failed` says why it did not read them."""

    name: str
    samples: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    failed: str | None = None


def measure_rivals(urls: Sequence[str], most: int | None = None) -> list[Rival]:
    """Of Python's `tarfile`, and of webdataset where it is installed, one after the other in this process.

    most   samples, or all
    """
    readers: dict[str, Reads] = {"tarfile": _by_tarfile}
    if find_spec("webdataset") is not None:
        import_module("webdataset")  # which takes seconds, and is no reading
        readers["webdataset"] = _by_webdataset
    return [_measure(name, read, urls, most) for name, read in readers.items()]


def _measure(name: str, read: Reads, urls: Sequence[str], most: int | None) -> Rival:
    began, cpu, count = perf_counter(), _cpu_seconds(), 0
    try:
        for _ in islice(read(urls), most):
            count += 1
    except Exception as error:  # noqa: BLE001 - whatever that library raises
        said = error.message if isinstance(error, WdsError) else str(error)
        return Rival(name, failed=f"{type(error).__name__}: {said}")
    return Rival(name, count, perf_counter() - began, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _by_tarfile(urls: Iterable[str]) -> Iterator[object]:
    """Members that stand together and have the same key are a sample."""
    for url in urls:
        with open_url(url) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for _, sample in groupby(_read(archive), lambda member: base_plus_ext(member[0])[0]):
                yield list(sample)


def _read(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for info in archive:
        file = archive.extractfile(info)
        if file is not None:
            yield info.name, file.read()


def _by_webdataset(urls: Iterable[str]) -> Iterator[Any]:
    import webdataset  # noqa: PLC0415 - the user's own, and it may not be there

    return iter(webdataset.WebDataset(list(urls), shardshuffle=False, empty_check=False))
