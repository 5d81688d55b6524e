"""What stages hold, in a state: where the samples came from, and not what they are; and random numbers to come.

Some are plain lists. Many are columns: sorted by shard and ordinal, as differences, each byte of the numbers for itself,
compressed.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from itertools import chain, islice, repeat
from struct import error as StructError  # noqa: N812 - it is an exception
from struct import pack, unpack
from typing import Any

from asyncwds.errors import SpecError
from asyncwds.formatting.texts import show_value
from asyncwds.pipeline.lineage import SampleTrace
from asyncwds.pipeline.protocol import JsonValue
from asyncwds.samples import Sample

Ref = tuple[int, int, int]
"""An `Origin`: shard, ordinal, offset [bytes]."""
Held = Sample | tuple[SampleTrace, ...]
"""An item that a stage holds: a sample, or what another item was made of."""

FEW = 32
SMALL = 1 << 22  # of a number of a shard
UNKNOWN = "it holds items that were not made of samples of shards, of which nobody knows where to read them again"


class HeldSamples(Sequence[Sample]):
    """A buffer of samples, which lie anywhere in memory: to look at each of 10,000 takes some milliseconds.

    `changed` has a byte for each place from the time that these keep their number: those that are not 0 have other samples than at
    the last look.
    """

    def __init__(self, buffer: list[Any], changed: bytearray) -> None:
        self._buffer = buffer
        self.changed = changed
        self._rows: Any = None

    def __len__(self) -> int:
        return len(self._buffer)

    def __getitem__(self, index: Any) -> Any:
        return self._buffer[index]

    def rows(self) -> Any:
        """Their origins, an array. Raises AttributeError where one has none."""
        import numpy as np  # noqa: PLC0415 - heavy

        if len(self.changed) != len(self._buffer):
            self._rows = None
            return rows_of([sample._origin for sample in self._buffer])  # noqa: SLF001 - 10,000 of them
        if self._rows is None:
            self._rows = rows_of([sample._origin for sample in self._buffer])  # noqa: SLF001 - as above
        else:
            places = np.flatnonzero(np.frombuffer(self.changed, np.uint8))
            self._rows[places] = rows_of([self._buffer[place]._origin for place in places.tolist()])  # noqa: SLF001 - as above
        self.changed[:] = bytes(len(self.changed))
        return self._rows


def rows_of(refs: Sequence[Ref]) -> Any:
    import numpy as np  # noqa: PLC0415 - heavy

    numbers = pack(f"{3 * len(refs)}q", *chain.from_iterable(refs))  # takes two thirds of what `numpy.fromiter` does
    return np.frombuffer(bytearray(numbers), np.int64).reshape(-1, 3)


def pack_held(held: Sequence[Held], waiting: Sequence[tuple[Ref, ...]]) -> tuple[JsonValue, set[int]]:
    """Where the samples of all items are, and behind these those of which the places are known; and in which shards.

    Raises SpecError where that is not known.
    """
    if isinstance(held, HeldSamples) and len(held) > FEW and not waiting:
        try:
            return _pack_many(held.rows(), None)
        except AttributeError:
            raise SpecError(UNKNOWN) from None
    made_of = [*map(_made_of, held), *waiting]
    refs, counts = list(chain.from_iterable(made_of)), [len(item) for item in made_of]
    if not all(refs) or not all(counts):
        raise SpecError(UNKNOWN)
    return _pack(refs, None if set(counts) == {1} else counts)  # type: ignore[arg-type] # none is None


def _made_of(item: Held) -> tuple[Ref | None, ...]:
    if isinstance(item, Sample):
        return (getattr(item, "_origin", None),)
    return tuple([origin for _, _, origin in item])


def pack_refs(refs: Sequence[Ref], counts: Sequence[int] | None = None) -> JsonValue:
    return _pack(refs, counts)[0]


def _pack(refs: Sequence[Ref], counts: Sequence[int] | None) -> tuple[JsonValue, set[int]]:
    if len(refs) > FEW:
        return _pack_many(rows_of(refs), counts)
    items = iter(refs)
    return [[list(ref) for ref in islice(items, count)] for count in counts or repeat(1, len(refs))], {ref[0] for ref in refs}


def _pack_many(rows: Any, counts: Sequence[int] | None) -> tuple[JsonValue, set[int]]:
    order, ordered = _in_order(rows)
    return _pack_ordered(order, ordered, counts), set(ordered[_begins(ordered), 0].tolist())


def pack_rows(flat: Any, counts: Sequence[int] | None) -> JsonValue:
    """Of rows of refs, an array of many."""
    return _pack_ordered(*_in_order(flat), counts)


def _in_order(flat: Any) -> tuple[Any, Any]:
    """Their order by shard and ordinal, and the rows in that."""
    import numpy as np  # noqa: PLC0415 - heavy

    small = flat[:, 0].max(initial=0) < SMALL  # as they are but for those of datasets within
    order = np.argsort((flat[:, 0] << 40) + flat[:, 1], kind="stable") if small else np.lexsort((flat[:, 1], flat[:, 0]))
    return order, flat[order]


def _begins(ordered: Any) -> Any:
    """The first rows of each shard. `numpy.unique` would import `numpy.ma`, which takes 20 ms."""
    import numpy as np  # noqa: PLC0415 - heavy

    return np.flatnonzero(np.diff(ordered[:, 0], prepend=-1))


def _pack_ordered(order: Any, ordered: Any, counts: Sequence[int] | None) -> JsonValue:
    import numpy as np  # noqa: PLC0415 - heavy

    columns = [np.diff(ordered[:, 0], prepend=0), _within(ordered, 1), _within(ordered, 2), order]
    if counts is not None:
        columns.append(np.array(counts))
    packed = [_pack_column(column) for column in columns]
    text = b64encode(zlib.compress(b"".join(packed), 1)).decode()
    return {"items": len(order) if counts is None else len(counts), "samples": len(order), "columns": text}


def _within(ordered: Any, column: int) -> Any:
    """Differences within a shard."""
    import numpy as np  # noqa: PLC0415 - heavy

    values = ordered[:, column]
    differences = np.diff(values, prepend=0)
    begins = _begins(ordered)
    differences[begins] = values[begins]
    return differences


def _pack_column(values: Any) -> bytes:
    """Its number of bytes, then the lowest byte of each value, the next, …; offsets in a tar archive are of whole blocks."""
    import numpy as np  # noqa: PLC0415 - heavy

    unit = 1 if np.bitwise_or.reduce(values) & 511 else 512
    if unit > 1:
        values = values // unit
    zigzag = (values << 1) ^ (values >> 63)
    used = -(-int(zigzag.max(initial=0)).bit_length() // 8)
    planes: bytes = zigzag.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :used].T.tobytes()
    return pack("<BH", used, unit) + planes


def unpack_refs(packed: Any) -> list[tuple[Ref, ...]]:
    """Raises SpecError for what is nothing of the kind."""
    try:
        if not isinstance(packed, Mapping):
            return [tuple([_ref(ref) for ref in item]) for item in packed]
        return _unpack_columns(zlib.decompress(b64decode(packed["columns"])), packed["items"], packed["samples"])
    except (KeyError, TypeError, ValueError, OverflowError, StructError, zlib.error) as error:
        raise SpecError(f"not what a stage holds: {show_value(packed)}") from error


def _ref(ref: Sequence[int]) -> Ref:
    shard, ordinal, offset = ref
    return int(shard), int(ordinal), int(offset)


def _unpack_columns(data: bytes, items: int, total: int) -> list[tuple[Ref, ...]]:
    import numpy as np  # noqa: PLC0415 - heavy

    columns: list[Any] = []
    begin = 0
    while begin < len(data):
        used, unit = unpack("<BH", data[begin : begin + 3])
        length = items if len(columns) == 4 else total
        planes = np.zeros((8, length), np.uint8)
        planes[:used] = np.frombuffer(data, np.uint8, used * length, begin + 3).reshape(used, length)
        zigzag = np.ascontiguousarray(planes.T).view("<u8").reshape(-1)
        columns.append(((zigzag >> 1).astype(np.int64) ^ -(zigzag & 1).astype(np.int64)) * unit)
        begin += 3 + used * length
    shards, ordinals, offsets, order, *counts = columns
    begins = shards != 0
    begins[:1] = True
    flat = np.empty((total, 3), np.int64)
    flat[order] = np.stack([np.cumsum(shards), _sums(ordinals, begins), _sums(offsets, begins)], axis=1)
    refs: list[Ref] = [(shard, ordinal, offset) for shard, ordinal, offset in flat.tolist()]
    if not counts:
        return [(ref,) for ref in refs]
    stops = np.cumsum(counts[0]).tolist()
    return [tuple(refs[start:stop]) for start, stop in zip([0, *stops], stops, strict=False)]


def _sums(differences: Any, begins: Any) -> Any:
    """The inverse of `_within`."""
    import numpy as np  # noqa: PLC0415 - heavy

    sums = np.cumsum(differences)
    first = np.flatnonzero(begins)
    before = np.concatenate([[0], sums])[first]
    return sums - np.repeat(before, np.diff(np.append(first, len(sums))))
