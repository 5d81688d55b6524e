"""Histograms: of sizes by the index alone, of lengths and values of so many samples that are read, spread evenly over all."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from asyncwds.errors import SpecError, WdsError
from asyncwds.previews.kinds import kind_of
from asyncwds.previews.pictures import unpacked
from asyncwds.runtime.blocking import BlockingPool
from asyncwds.runtime.units import MiB
from asyncwds.viewer.bar_conditions import add_conditions
from asyncwds.viewer.catalog import Catalog, Place, count_fields, shown
from asyncwds.viewer.fields import FieldReader
from asyncwds.viewer.histograms import MEASURES, NO_VALUE, Of, field_sizes, histogram, leaf_paths, measure

READ = 1000  # samples
AT_ONCE = 64
_PATHS = 60
_LARGEST = MiB


class Measurer:
    """One event loop's."""

    def __init__(self, catalog: Catalog, fields: FieldReader, pool: BlockingPool) -> None:
        self._catalog = catalog
        self._fields = fields
        self._pool = pool

    async def measures(self) -> list[dict[str, str]]:
        """What there is a histogram of: of each field its size, of texts their length and value, of JSON each value in it."""
        found = [{"label": "whole sample: size", "field": "", "of": "size", "path": ""}]
        for name in await self._pool.run(lambda: list(count_fields(self._catalog.columns()))):
            kind, label = kind_of(name).kind, shown(name)
            found.append({"label": f"{label}: size", "field": label, "of": "size", "path": ""})
            if kind in ("text", "json"):
                found.append({"label": f"{label}: length", "field": label, "of": "length", "path": ""})
            if kind == "text":
                found.append({"label": f"{label}: words", "field": label, "of": "words", "path": ""})
                found.append({"label": f"{label}: value", "field": label, "of": "value", "path": ""})
            if kind == "json":
                paths = await self._json_paths(name)
                found += [{"label": f"{label}: {path}", "field": label, "of": "value", "path": path} for path in paths]
        return found

    async def histogram(self, field: str, of: str, path: str) -> dict[str, Any]:
        if of not in MEASURES:
            raise SpecError(f"a histogram is of one of {', '.join(MEASURES)}")
        if of == "size":
            sizes = await self._pool.run(lambda: field_sizes(self._catalog.columns(), field))
            counted = add_conditions(await self._pool.run(histogram, sizes), field, "size", "")
            return {**counted, "read": len(self._catalog), "samples": len(self._catalog)}
        numbers = self._spread()
        limit = asyncio.Semaphore(AT_ONCE)
        values = await asyncio.gather(*[self._value(number, (field, cast("Of", of), path), limit) for number in numbers])
        counted = add_conditions(histogram(values), field, cast("Of", of), path, values)
        return {**counted, "read": len(numbers), "samples": len(self._catalog)}

    def _spread(self) -> list[int]:
        count = len(self._catalog)
        return [number * count // min(READ, count) for number in range(min(READ, count))]

    async def _value(self, number: int, asked: tuple[str, Of, str], limit: asyncio.Semaphore) -> Any:
        field, of, path = asked
        async with limit:
            data = await self._data(self._catalog.place(number), field)
        return NO_VALUE if data is None else measure(data, of, path)

    async def _data(self, place: Place, name: str) -> bytes | None:
        """None where the sample has no such field, or it cannot be read, or is large."""
        found = next((field for field in place.row.fields if shown(field.suffix.lower()) == name), None)
        if found is None or found.size > _LARGEST:
            return None
        try:
            return unpacked(await self._fields.whole(place, found), kind_of(name))
        except (WdsError, ValueError, EOFError):
            return None

    async def _json_paths(self, name: str) -> list[str]:
        """Of the first sample that has it."""
        for number in range(min(len(self._catalog), 100)):
            data = await self._data(self._catalog.place(number), shown(name))
            if data is not None:
                return leaf_paths(data, _PATHS)
        return []
