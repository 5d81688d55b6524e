"""Names of shards with a place for a number, as AIStore writes them: `shard-%06d` counts from 0, `shard-{0000..4096..8}` says from
where to where, by which step. Plain functions.
"""

from __future__ import annotations

import re

from asyncwds.errors import SpecError

_PLACE = re.compile(r"%(?:0(?P<width>\d{1,2}))?d|\{(?P<first>\d+)\.\.(?P<last>\d+)(?:\.\.(?P<step>\d+))?\}")


def is_template(name: str) -> bool:
    return len(_PLACE.findall(name)) == 1


def name_at(name: str, number: int) -> str:
    """The name of the shard with this number, counted from 0; a name that is no template is that of all.

    Raises SpecError where the template has no such number.
    """
    place = _PLACE.search(name)
    if place is None or not is_template(name):
        return name
    if place["first"] is None:
        text = f"{number:0{int(place['width'] or 0)}d}"
    else:
        value = int(place["first"]) + number * int(place["step"] or 1)
        if value > int(place["last"]) or (number and value == int(place["first"])):
            raise SpecError(f"the map's {name} is for {number} shards, and more are needed: a larger max_size makes fewer")
        text = f"{value:0{len(place['first'])}d}"
    return name[: place.start()] + text + name[place.end() :]
