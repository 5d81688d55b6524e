"""JSON beside each shard, as webshart and hfutils (cheesechaser) have it: `train-0.json` for `train-0.tar`.

    {"filesize": 10240, "files": {"a.jpg": {"offset": 512, "length": 1200}, …}}

Offset and length [bytes] are those of the payload. hfutils calls the length `size`, and has digests: `hash` is git's of the shard,
`hash_lfs` its SHA-256, `sha256` that of each file. What else stands there is not read: digests, width and height, captions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from asyncwds.errors import SpecError
from asyncwds.index.formats.digests import ShardDigests
from asyncwds.index.formats.members import ListedMember, columns_from, members_of, renamed
from asyncwds.index.index import Index, ShardIndex

SUFFIX = ".json"


def is_files_json(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("files"), dict)


def decode(found: Any, url: str) -> Index:
    """Raises SpecError for what is no such JSON."""
    size = found.get("filesize")
    if not isinstance(size, int | None):
        raise SpecError("this list of files is damaged: filesize must be a number", url=url)
    try:
        members = [_member(name, entry) for name, entry in found["files"].items()]
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"this list of files is damaged: {error}", url=url) from error
    columns = columns_from(sorted(members, key=lambda member: member.offset), url)
    return Index((ShardIndex.of(renamed(url, (SUFFIX,), ".tar"), columns, size),))


def encode(
    shard: ShardIndex,
    length: Literal["length", "size"],
    digests: ShardDigests | None = None,
    images: Mapping[int, tuple[int, int]] | None = None,
) -> bytes:
    """Of names that come again in a shard the first is listed. `images` are width and height by the offset of the payload."""
    files: dict[str, dict[str, int | float | str]] = {}
    for _, members in members_of(shard):
        for member in members:
            sha256 = {} if digests is None else {"sha256": digests.members[member.offset]}
            size = (images or {}).get(member.offset)
            measured = {} if size is None else {"width": size[0], "height": size[1], "aspect": size[0] / size[1]}
            files.setdefault(member.name, {"offset": member.offset, length: member.size, **sha256, **measured})
    whole = {} if digests is None else {"hash": digests.git, "hash_lfs": digests.sha256}
    return json.dumps({"filesize": shard.size, **whole, "files": files}).encode()


def _member(name: str, entry: Any) -> ListedMember:
    size = entry["length"] if "length" in entry else entry["size"]
    if type(entry["offset"]) is not int or type(size) is not int:
        raise TypeError(f"offset and length of {name[:200]!r} must be numbers")
    return ListedMember(name, entry["offset"], size)
