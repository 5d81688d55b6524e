"""The index of NVIDIA DALI's `wds2idx`, a text for each shard: how many samples, then a line for each.

    v1.2 2
    jpg 512 1200 a.jpg cls 2560 1 a.cls
    …

Of each member stand there extension, offset and size [bytes] of its payload, and name; in v1.1 no names. What stands between
blanks has none in it.
"""

from __future__ import annotations

from asyncwds.errors import SpecError
from asyncwds.index.columns import Field, Row
from asyncwds.index.formats.members import ListedMember, checked_columns, columns_from, members_of, renamed
from asyncwds.index.index import Index, ShardIndex

SUFFIX = ".idx"
_WORDS = {"v1.2": 4, "v1.1": 3}  # of a member


def is_wds2idx(data: bytes) -> bool:
    return data[:5] in (b"v1.1 ", b"v1.2 ")


def decode(data: bytes, url: str) -> Index:
    """Raises SpecError for what is no such text."""
    shard = renamed(url, (SUFFIX,), ".tar")
    try:
        head, *lines = data.decode("utf-8", "surrogateescape").splitlines()
        version, count = head.split()
        samples = [_members(line.split(), _WORDS[version]) for line in lines]
        expected = int(count)
    except (KeyError, ValueError) as error:
        raise SpecError(f"this wds2idx index is damaged: {error}", url=url) from error
    if len(samples) != expected:
        raise SpecError(f"this wds2idx index is damaged: it has {len(samples)} of {count} samples", url=url)
    if version == "v1.1":
        return Index((ShardIndex.of(shard, checked_columns(_nameless(samples), url)),))
    return Index((ShardIndex.of(shard, columns_from([member for each in samples for member in each], url)),))


def encode(shard: ShardIndex) -> bytes:
    """Raises SpecError for names that the format cannot hold."""
    texts = [" ".join([_words(member, row, shard.url) for member in members]) for row, members in members_of(shard)]
    return "\n".join([f"v1.2 {len(texts)}", *texts, ""]).encode("utf-8", "surrogateescape")


def _words(member: ListedMember, row: Row, url: str) -> str:
    if len(member.name.split()) != 1 or member.name != member.name.strip():
        raise SpecError("names with blanks cannot stand in a wds2idx index", url=url, key=row.key)
    return f"{member.name[len(row.key) + 1 :]} {member.offset} {member.size} {member.name}"


def _members(words: list[str], width: int) -> list[ListedMember]:
    if not words or len(words) % width:
        raise ValueError(f"a line of {len(words)} words")
    groups = [words[start : start + width] for start in range(0, len(words), width)]
    return [ListedMember(group[-1] if width == 4 else group[0], int(group[1]), int(group[2])) for group in groups]


def _nameless(samples: list[list[ListedMember]]) -> list[Row]:
    end, rows = 0, []
    for ordinal, members in enumerate(samples):
        fields = tuple([Field(*member) for member in members])
        rows.append(Row("", ordinal, end, fields[-1].end, fields))
        end = fields[-1].end
    return rows
