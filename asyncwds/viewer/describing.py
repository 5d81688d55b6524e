"""Samples, and what is known of shards, as JSON for the page. No I/O."""

from __future__ import annotations

from itertools import islice
from typing import Any

from asyncwds.errors import redact
from asyncwds.previews.kinds import kind_of
from asyncwds.viewer.catalog import Catalog, Place, count_fields

MOST_PROBLEMS = 100


def describe_state(catalog: Catalog) -> dict[str, Any]:
    fields = count_fields(catalog.columns())
    problems = list(islice(catalog.problems(), MOST_PROBLEMS))
    return {
        "title": _title(catalog),
        "shards": len(catalog.entries),
        "ready": catalog.ready,
        "samples": len(catalog),
        "complete": catalog.complete,
        "fields": [{"name": shown(name), "samples": samples, "kind": kind_of(name).kind} for name, samples in fields.items()],
        "problems": [{"shard": shown(redact(entry.url)), "message": problem} for entry, problem in problems],
    }


def describe_sample(place: Place) -> dict[str, Any]:
    row = place.row
    fields = []
    for field in row.fields:
        kind = kind_of(field.suffix)
        native = kind.type if kind.kind in ("image", "audio", "video") else None
        fields.append({"name": shown(field.suffix), "kind": kind.kind, "type": native, "nbytes": field.size})
    return {
        "number": place.number,
        "key": shown(row.key),
        "shard": shown(redact(place.entry.url)),
        "ordinal": row.ordinal,
        "offset": row.offset,
        "nbytes": row.end - row.offset,
        "fields": fields,
    }


def shown(name: str) -> str:
    """What is no Unicode in names of members cannot be sent."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _title(catalog: Catalog) -> str:
    names = [redact(entry.url).partition("?")[0].rpartition("/")[2] for entry in catalog.entries]
    return shown(names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}") if names else "no shards"
