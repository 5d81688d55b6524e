"""The first samples of a shard as `datasets`, the library of the Hugging Face Hub, groups them. No I/O.

It takes the fields of the first five samples of a split for those of all, and refuses a data set where these differ. Capitals
count there, and names that WebDataset reserves are keys like others.
"""

from __future__ import annotations

from asyncwds.tar.grouping import base_plus_ext

SAMPLES = 5


class FirstSamples:
    """Takes names of members, until the first samples are `complete`; later ones do nothing."""

    def __init__(self) -> None:
        self.complete = False
        self._key: str | None = None
        self._fields: list[set[str]] = []

    @property
    def fields(self) -> list[frozenset[str]]:
        return list(map(frozenset, self._fields))

    def add(self, name: str) -> None:
        key, suffix = base_plus_ext(name)
        if key is None or suffix is None or self.complete:
            return
        if key != self._key:
            if len(self._fields) == SAMPLES:
                self.complete = True
                return
            self._key = key
            self._fields.append(set())
        self._fields[-1].add(suffix)
