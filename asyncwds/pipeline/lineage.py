"""Which samples an item is made of. A `Sample` tells by itself; of other items the stage that gave them is asked.

A stage that works on one item at a time keeps nothing for that: what it gives was made of what it took last. Only those that
hold items, and functions of users, note it for each item that they take (0.1 us).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from asyncwds.errors import redact
from asyncwds.pipeline.protocol import Stream
from asyncwds.samples import Sample

SHOWN = 3  # samples and shards that a note names
REMEMBERED = 4096  # samples that a function of a user's may take for one item, and still be known to have taken


SampleTrace = tuple[str | None, str | None, tuple[int, int, int] | None]
"""A sample by the url of its shard, its key, and its `_origin` (a NamedTuple takes 0.1 us more); None is not known."""
_UNKNOWN: SampleTrace = (None, None, None)


def trace_of(item: Any, source: Stream) -> tuple[SampleTrace, ...]:
    """What an item is made of that came from the source just now."""
    if type(item) is tuple:
        return source.lineage()
    if isinstance(item, Sample) and (trace := sample_trace(item)) is not None:
        return (trace,)
    if isinstance(item, list) and item and isinstance(item[0], Sample):
        return _traces_in(item) or joined([trace_of(sample, source) for sample in item])
    behind = source.lineage()
    if isinstance(item, dict) and "__key__" in item:
        url, _, origin = behind[0] if len(behind) == 1 else _UNKNOWN
        return ((item.get("__url__", url), item["__key__"], origin),)  # its own key may be another one
    return behind


def sample_trace(sample: Sample) -> SampleTrace | None:
    try:
        return sample["__url__"], sample["__key__"], sample._origin  # noqa: SLF001 - an Origin would take 0.2 us more
    except (KeyError, AttributeError):  # one of the users' making
        return None


def _traces_in(items: list[Any]) -> tuple[SampleTrace, ...]:
    """Of samples, all of which tell; else nothing."""
    try:
        return tuple([(item["__url__"], item["__key__"], item._origin) for item in items])  # noqa: SLF001 - as above
    except (KeyError, TypeError, AttributeError):
        return ()


def samples_in(item: Any, source: Stream) -> int:
    """How many samples an item is made of that came from the source just now."""
    return 1 if isinstance(item, Sample) else len(trace_of(item, source))


def joined(traces: Sequence[tuple[SampleTrace, ...]]) -> tuple[SampleTrace, ...]:
    try:
        return tuple([trace for (trace,) in traces])  # nearly always, and an iterator for each takes 30 ns more
    except ValueError:
        return tuple(chain.from_iterable(traces))


def describe_traces(traces: tuple[SampleTrace, ...]) -> str:
    """For a message: `sample 'a' of train-0.tar at offset 512`, or the first of several; "" where nothing is known."""
    keys = [repr(key) for _, key, _ in traces if key is not None]
    if not keys:
        return ""
    urls = list(dict.fromkeys(redact(str(url)) for url, _, _ in traces if url is not None))
    where = f" of {_listed(urls)}" if urls else ""
    if len(traces) > 1:
        return f"samples {_listed(keys)}{where}"
    origin = traces[0][2]
    return f"sample {keys[0]}{where}" + (f" at offset {origin[2]}" if origin is not None else "")


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
