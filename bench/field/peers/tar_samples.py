"""Samples of a shard by the standard library: for what is written in other formats once, before anything is measured."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from itertools import groupby


def tar_samples(path: str) -> Iterator[dict[str, bytes]]:
    with tarfile.open(path) as archive:
        for _, members in groupby(archive, lambda member: member.name.partition(".")[0]):
            yield {each.name.partition(".")[2]: archive.extractfile(each).read() for each in members}  # type: ignore[union-attr]
