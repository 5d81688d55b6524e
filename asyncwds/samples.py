"""A sample, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from asyncwds.errors import redact
from asyncwds.formatting.texts import html_table, show_value

PADDING = "__padding__"
"""A field of samples that says whether this one is there a second time, so that each place has as many."""
SHARD_BITS = 32
"""Of the number of a shard in `_origin`: what stands above is of datasets within a pipeline (`pipeline/within.py`)."""
SHARD_MASK = (1 << SHARD_BITS) - 1
SHOWN_FIELDS = 20  # of a sample, in its repr


class Origin(NamedTuple):
    """Where a sample came from: index of the shard in the url list, ordinal in that shard, offset [bytes] of its first header."""

    shard: int
    ordinal: int
    offset: int


class Sample(dict[str, Any]):
    """A sample: `__key__`, `__url__`, perhaps `__local_path__`, then field name → bytes or decoded value.

    Outside the mapping it knows its `origin`. Stages that build new dicts (as `map` with a function that returns
    one) lose it, as they lose everything that they don't copy.
    """

    # The tuple is turned into an Origin only when asked for: making a NamedTuple costs 180 ns a sample, a tuple 30 ns.
    __slots__ = ("_origin",)
    _origin: tuple[int, int, int]

    @property
    def origin(self) -> Origin:
        shard, ordinal, offset = self._origin
        return Origin(shard & SHARD_MASK, ordinal, offset)

    def copy(self) -> Sample:
        """A shallow copy that keeps the origin."""
        copied = Sample(self)
        with_origin = getattr(self, "_origin", None)
        if with_origin is not None:
            copied._origin = with_origin
        return copied

    def __repr__(self) -> str:
        """Sizes and types in place of payloads; `dict(sample)` prints them all."""
        fields = [f"{name!r}: {show_value(value)}" for name, value in self._first_fields().items()]
        more = [f"… {len(self) - SHOWN_FIELDS} more"] if len(self) > SHOWN_FIELDS else []
        return f"Sample({{{', '.join(fields + more)}}})"

    def _repr_html_(self) -> str:
        return html_table(self._first_fields())

    def _first_fields(self) -> dict[str, Any]:
        """The first fields, the url without its secrets."""
        return {name: redact(self[name]) if name == "__url__" else self[name] for name in list(self)[:SHOWN_FIELDS]}


def whereabouts(sample: Any) -> dict[str, Any]:
    """What a sample tells about where it came from, as arguments for an error: url, offset [bytes], key."""
    known: dict[str, Any] = {}
    if isinstance(sample, Mapping):
        known = {name: str(sample[f"__{name}__"]) for name in ("url", "key") if f"__{name}__" in sample}
    if isinstance(sample, Sample) and hasattr(sample, "_origin"):
        known["offset"] = sample.origin.offset
    return known


def describe_misplaced(sample: Any) -> str | None:
    """In words, what a stage for samples was given in place of one because stages stand in a wrong order; None for a sample."""
    if not isinstance(sample, Mapping):
        return f"not {type(sample).__name__}; it belongs before to_tuple and batched"
    if "url" in sample and sample.keys() <= {"url", "stream", "local_path"}:
        return "not urls of shards; tarfile_to_samples() belongs before it"
    if {"fname", "data"} <= sample.keys() and "__key__" not in sample:
        return "not files of archives; group_by_keys() belongs before it"
    return None
